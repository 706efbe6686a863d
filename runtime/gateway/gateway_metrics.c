/*
 * gateway_metrics.c - numbers that other modules keep, put into the metrics
 * when somebody asks for them.
 *
 * Runs in: gateway.
 */
#include "runtime/gateway/gateway_priv.h"

static void
set(struct gateway *g, enum metric metric, uint64_t value)
{
	series_set(metrics_series(g->metrics, metric, NULL), value);
}

static void
set_labelled(struct gateway *g, enum metric metric, const char *label,
    uint64_t value)
{
	series_set(metrics_series(g->metrics, metric, &label), value);
}

static void
set_pool(struct gateway *g)
{
	const struct pool *pool = calls_pool(g->calls);
	struct pool_stats stats;
	struct calls_stats calls;

	pool_stats(pool, &stats);
	calls_stats(g->calls, &calls);
	set_labelled(g, METRIC_WORKERS, "all", stats.workers);
	set_labelled(g, METRIC_WORKERS, "ready", stats.ready);
	set_labelled(g, METRIC_WORKERS, "starting", stats.starting);
	set_labelled(g, METRIC_WORKERS, "busy", calls.in_flight);
	set(g, METRIC_QUEUED, calls.queued);
	set(g, METRIC_IMAGE_BYTES, calls.image_bytes);
	set(g, METRIC_FORKS, stats.forks);
	set(g, METRIC_ZYGOTE_RESTARTS,
	    stats.zygotes > 0 ? stats.zygotes - 1 : 0);
	set_labelled(g, METRIC_WORKER_DEATHS, "sandbox_violation",
	    stats.violations);
	set_labelled(g, METRIC_WORKER_DEATHS, "protocol_error", stats.breaches);
}

static void
set_ledger(struct gateway *g)
{
	struct meter_stats meter;
	struct logbook_stats log;

	meter_stats(g->meter, &meter);
	logbook_stats(g->logbook, &log);
	set(g, METRIC_LEDGER_WAITING, meter.waiting);
	set(g, METRIC_LEDGER_RECOVERED, meter.recovered);
	set(g, METRIC_LEDGER_MAYBE_LOST, meter.maybe_lost);
	set(g, METRIC_LEDGER_DROPPED, meter.dropped);
	set(g, METRIC_LOGS_DROPPED, log.dropped);
}

static void
set_fronts(struct gateway *g)
{
	struct http_stats http;
	struct upload_stats uploads;

	http_server_stats(web_server(g->web), &http);
	uploads_stats(g->uploads, &uploads);
	set(g, METRIC_CONNECTIONS, http.connections_open);
	set(g, METRIC_HTTP_REQUESTS, http.requests_total);
	set_labelled(g, METRIC_UPLOADS, "accepted", uploads.accepted);
	set_labelled(g, METRIC_UPLOADS, "done", uploads.done);
	set_labelled(g, METRIC_UPLOADS, "failed", uploads.failed);
	set_labelled(g, METRIC_UPLOADS, "retried", uploads.retried);
	set_labelled(g, METRIC_UPLOADS, "refused", uploads.refused);
}

static void
count_state(const struct catalog_entry *entry, void *arg)
{
	((uint64_t *)arg)[entry->state]++;
}

void
gateway_update_metrics(void *arg)
{
	struct gateway *g = arg;
	uint64_t states[3] = {0};

	catalog_each(g->catalog, count_state, states);
	set_labelled(g, METRIC_FUNCTIONS, "reading", states[CATALOG_READING]);
	set_labelled(g, METRIC_FUNCTIONS, "serving", states[CATALOG_SERVING]);
	set_labelled(g, METRIC_FUNCTIONS, "broken", states[CATALOG_BROKEN]);
	for (unsigned int i = 0; i < JAIL_LAYERS; i++)
		set_labelled(g, METRIC_SANDBOX_LAYER,
		    jail_layer_name((enum jail_layer)i), g->report.active[i]);
	set_pool(g);
	set_ledger(g);
	set_fronts(g);
	set_labelled(g, METRIC_BUILD, PERILUNE_VERSION, 1);
	set(g, METRIC_START_TIME, (uint64_t)g->started_ms / 1000);
}
