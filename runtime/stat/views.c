/*
 * views.c - what the records of one function say, as series.
 *
 * Runs in: gateway.
 * Owns:    one view per function that had a record.
 *
 * A record feeds a dozen series.  A view keeps pointers to those of its
 * function, so that a record costs one look-up by name, not twelve by rendered
 * labels.  The function named "_other" takes those over the limit.
 */
#include "runtime/stat/metrics_priv.h"
#include "sandbox/base/bytes.h"

#include <stdlib.h>
#include <string.h>

/* NOLINTNEXTLINE(bugprone-macro-parentheses) */
#define X(name, text) +1
enum {
	KINDS = 0 RECORD_KINDS(X),
	CAUSES = 0 RECORD_CAUSES(X),
	OUTCOMES = 0 RECORD_OUTCOMES(X),
	FAILED_BYS = 0 RECORD_FAILED_BY(X),
};
#undef X

#define VIEWS_MAX 4096 /* functions with a view of their own, at once */

struct view_start {
	struct series *count;
	struct series *phases[METRICS_PHASES_N];
};

struct view {
	struct view *next;
	char function[RECORD_NAME_MAX];
	struct metrics_totals totals;
	struct series *outcomes[OUTCOMES][FAILED_BYS];
	struct view_start starts[KINDS][CAUSES];
	struct series *billed_ms;
	struct series *cost_pico;
	struct series *cpu;
	struct series *bytes_in;
	struct series *bytes_out;
	struct series *peak_kb;
};

static unsigned int
bucket_of(const char *function)
{
	return metrics_hash(METRICS_HASH_START, function, strlen(function)) %
	    VIEW_BUCKETS;
}

/* Where the pointer to its view is, or would be. */
static struct view **
place_of(struct metrics *metrics, const char *function)
{
	struct view **at = &metrics->views[bucket_of(function)];

	while (*at != NULL && strcmp((*at)->function, function) != 0)
		at = &(*at)->next;
	return at;
}

static const struct view *
find(const struct metrics *metrics, const char *function)
{
	const struct view *view = metrics->views[bucket_of(function)];

	while (view != NULL && strcmp(view->function, function) != 0)
		view = view->next;
	return view;
}

/* One series whose only label is the function. */
static struct series *
of_function(struct metrics *metrics, enum metric metric, const char *function)
{
	return metrics_series(metrics, metric, &function);
}

static struct view *
view_new(struct metrics *metrics, const char *function)
{
	struct view *view = metrics_must(calloc(1, sizeof(*view)));
	const char *name = view->function;

	(void)slice_copy(view->function, sizeof(view->function),
	    slice_of(function));
	view->billed_ms = of_function(metrics, METRIC_BILLED_MS, name);
	view->cost_pico = of_function(metrics, METRIC_COST_PICO, name);
	view->cpu = of_function(metrics, METRIC_CPU, name);
	view->peak_kb = of_function(metrics, METRIC_PEAK_KB, name);
	view->bytes_in = metrics_series(metrics, METRIC_BODY_BYTES,
	    (const char *[]){name, "in"});
	view->bytes_out = metrics_series(metrics, METRIC_BODY_BYTES,
	    (const char *[]){name, "out"});
	return view;
}

static struct view *
view_of(struct metrics *metrics, const char *function)
{
	struct view **at = place_of(metrics, function);

	if (*at == NULL && metrics->nviews >= VIEWS_MAX)
		at = place_of(metrics, METRICS_OTHER);
	if (*at == NULL) {
		*at = view_new(metrics,
		    metrics->nviews < VIEWS_MAX ? function : METRICS_OTHER);
		metrics->nviews++;
	}
	return *at;
}

static void
add_outcome(struct metrics *metrics, struct view *view,
    const struct record *record)
{
	struct series **at;

	if (record->outcome >= OUTCOMES || record->failed_by >= FAILED_BYS)
		return;
	at = &view->outcomes[record->outcome][record->failed_by];
	if (*at == NULL)
		*at = metrics_series(metrics, METRIC_INVOCATIONS,
		    (const char *[]){view->function,
			record_outcome_name(record->outcome),
			record_failed_by_name(record->failed_by)});
	series_add(*at, 1);
}

static void
add_phase(struct metrics *metrics, struct view *view,
    const struct record *record, enum metrics_phase phase, uint64_t us)
{
	struct view_start *start = &view->starts[record->kind][record->cause];
	struct series **at = &start->phases[phase];

	if (*at == NULL)
		*at = metrics_series(metrics, METRIC_PHASE,
		    (const char *[]){view->function,
			record_kind_name(record->kind),
			record_cause_name(record->cause),
			metrics_phase_name(phase)});
	series_observe(*at, us);
}

/* A phase that took no time did not happen; but waiting and the handler are
 * part of every start. */
static void
add_start(struct metrics *metrics, struct view *view,
    const struct record *record)
{
	struct series **at;

	if (record->kind >= KINDS || record->cause >= CAUSES)
		return;
	at = &view->starts[record->kind][record->cause].count;
	if (*at == NULL)
		*at = metrics_series(metrics, METRIC_STARTS,
		    (const char *[]){view->function,
			record_kind_name(record->kind),
			record_cause_name(record->cause)});
	series_add(*at, 1);
#define X(name, text, field)                                           \
	if (record->field > 0 ||                                       \
	    METRICS_PHASE_##name == METRICS_PHASE_QUEUE ||             \
	    METRICS_PHASE_##name == METRICS_PHASE_HANDLER)             \
		add_phase(metrics, view, record, METRICS_PHASE_##name, \
		    record->field);
	METRICS_PHASES(X)
#undef X
}

void
metrics_record(struct metrics *metrics, const struct record *record)
{
	struct view *view = view_of(metrics, record->function);

	view->totals.invocations++;
	view->totals.errors += record->outcome != RECORD_OUTCOME_OK;
	view->totals.cold += record->kind > RECORD_KIND_WARM;
	add_outcome(metrics, view, record);
	if (record->kind != RECORD_KIND_NONE)
		add_start(metrics, view, record);
	series_add(view->billed_ms, record->billed_ms);
	series_add(view->cost_pico, record->cost_pico);
	series_add(view->cpu, record->cpu_us);
	series_add(view->bytes_in, record->bytes_in);
	series_add(view->bytes_out, record->bytes_out);
	if (record->peak_kb > view->peak_kb->value)
		series_set(view->peak_kb, record->peak_kb);
}

void
metrics_totals(const struct metrics *metrics, const char *function,
    struct metrics_totals *totals_out)
{
	const struct view *view = find(metrics, function);

	*totals_out = view == NULL ? (struct metrics_totals){0} : view->totals;
}

void
metrics_starts(const struct metrics *metrics, const char *function,
    void (*each)(enum record_kind kind, enum record_cause cause, uint64_t count,
	const struct hist *const *phases, void *arg),
    void *arg)
{
	const struct view *view = find(metrics, function);

	for (int i = 0; view != NULL && i < KINDS * CAUSES; i++) {
		const struct view_start *start =
		    &view->starts[i / CAUSES][i % CAUSES];
		const struct hist *phases[METRICS_PHASES_N] = {0};

		if (start->count == NULL ||
		    strcmp(start->count->function, view->function) != 0)
			continue; /* none, or it counts in "_other" */
		for (int p = 0; p < METRICS_PHASES_N; p++)
			if (start->phases[p] != NULL)
				phases[p] = start->phases[p]->hist;
		each((enum record_kind)(i / CAUSES),
		    (enum record_cause)(i % CAUSES), start->count->value,
		    phases, arg);
	}
}

void
views_forget(struct metrics *metrics, const char *function)
{
	struct view **at = place_of(metrics, function);
	struct view *view = *at;

	if (view == NULL)
		return;
	*at = view->next;
	metrics->nviews--;
	free(view);
}

void
views_fini(struct metrics *metrics)
{
	for (int i = 0; i < VIEW_BUCKETS; i++) {
		struct view *view = metrics->views[i];

		while (view != NULL) {
			struct view *next = view->next;

			free(view);
			view = next;
		}
	}
}
