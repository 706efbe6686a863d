/*
 * gateway_log.c - what is written down: lines for the log, and what becomes of
 * the record of every invocation.
 *
 * Runs in: gateway.
 */
#include "runtime/gateway/gateway_priv.h"

#include <stdio.h>
#include <string.h>

void
gateway_note(struct gateway *g, enum log_level level, const char *function,
    const char *what)
{
	logbook_write(g->logbook, level, function, 0, NULL, slice_of(what),
	    (struct slice){0});
}

void
gateway_on_log(const struct fn_version *version, const char *request_id,
    enum wire_log level, struct slice text, struct slice fields, void *arg)
{
	struct gateway *g = arg;

	/* wire.h numbers the levels as logbook.h does */
	logbook_write(g->logbook, (enum log_level)level, version->name,
	    version->number, request_id, text, fields);
}

void
gateway_on_call_note(const struct fn_version *version, const char *what,
    void *arg)
{
	gateway_note(arg, LOG_LEVEL_WARN,
	    version == NULL ? NULL : version->name, what);
}

void
gateway_on_upload_note(const char *function, const char *what, void *arg)
{
	gateway_note(arg, LOG_LEVEL_WARN, function, what);
}

void
gateway_on_catalog_note(const char *name, const char *what, void *arg)
{
	gateway_note(arg, LOG_LEVEL_WARN, name, what);
}

/* --- records ------------------------------------------------------------------------ */

bool
gateway_may_record(void *arg)
{
	const struct gateway *g = arg;

	return !meter_behind(g->meter);
}

void
gateway_on_record(struct record *record, void *arg)
{
	struct gateway *g = arg;

	meter_add(g->meter, record);
	recent_add(g->recent, record);
	metrics_record(g->metrics, record);
}

static void
log_failure(struct gateway *g, const struct fn_version *version,
    const struct call_result *result)
{
	struct buf text = {0};

	buf_add_slice(&text, result->message);
	if (result->traceback.n > 0) {
		buf_putc(&text, '\n');
		buf_add_slice(&text, result->traceback);
	}
	logbook_write(g->logbook, LOG_LEVEL_ERROR, version->name,
	    version->number, result->record->request_id, buf_slice(&text),
	    (struct slice){0});
	buf_fini(&text);
}

static void
count_misdeeds(struct gateway *g, const struct record *record)
{
	const char *function = record->function;

	if (record->outcome != RECORD_OUTCOME_CRASHED)
		return;
	if (strcmp(record->reason, "sandbox_violation") == 0)
		series_add(metrics_series(g->metrics, METRIC_VIOLATIONS,
			       &function),
		    1);
	if (strcmp(record->reason, "protocol_error") == 0)
		series_add(metrics_series(g->metrics, METRIC_BREACHES,
			       &function),
		    1);
}

/* A new second: say how many invocations of the last were not logged. */
void
gateway_log_second(struct gateway *g, int64_t second)
{
	char text[96];

	if (g->unlogged > 0) {
		(void)snprintf(text, sizeof(text),
		    "%llu more invocations: see `perilune usage`",
		    (unsigned long long)g->unlogged);
		gateway_note(g, LOG_LEVEL_INFO, NULL, text);
	}
	g->log_second = second;
	g->logged = 0;
	g->unlogged = 0;
}

/* A line is for people, who read no thousand of them in a second. */
static bool
may_log(struct gateway *g, int64_t wall_ms)
{
	if (wall_ms / 1000 != g->log_second)
		gateway_log_second(g, wall_ms / 1000);
	if (g->logged < g->settings.max_log_invocations) {
		g->logged++;
		return true;
	}
	g->unlogged++;
	return false;
}

/* One line per invocation, made from its record. */
void
gateway_on_over(const struct fn_version *version,
    const struct call_result *result, void *arg)
{
	struct gateway *g = arg;
	struct buf fields = {0};

	count_misdeeds(g, result->record);
	if (result->record->outcome != RECORD_OUTCOME_OK)
		log_failure(g, version, result);
	if (!may_log(g, result->record->wall_ms))
		return;
	meter_record_json(&fields, result->record);
	logbook_write(g->logbook, LOG_LEVEL_INFO, version->name,
	    version->number, result->record->request_id, SLICE("invocation"),
	    buf_slice(&fields));
	buf_fini(&fields);
}
