/*
 * gateway_settings.c - who is told which setting, at start and by SIGHUP.
 *
 * Runs in: gateway.
 */
#include "runtime/gateway/gateway_priv.h"

#include "sandbox/base/err.h"

struct call_limits
gateway_call_limits(const struct settings *s)
{
	return (struct call_limits){
	    .max_queue = (uint32_t)s->max_queue,
	    .max_queue_bytes = s->max_queue_bytes,
	    .max_queue_wait_ms = s->max_queue_wait_ms,
	    .init_timeout_ms = s->init_timeout_ms,
	    .kill_grace_ms = s->kill_grace_ms,
	    .max_log_bytes = s->max_log_bytes,
	    .image_cache_bytes = s->image_cache_bytes,
	};
}

struct http_limits
gateway_http_limits(const struct settings *s)
{
	return (struct http_limits){
	    .line_bytes = (uint32_t)s->max_line_bytes,
	    .head_bytes = (uint32_t)s->max_head_bytes,
	    .headers = (uint32_t)s->max_headers,
	    .body_bytes = s->max_body_bytes,
	    .head_timeout_ms = (uint32_t)s->head_timeout_ms,
	    .body_timeout_ms = (uint32_t)s->body_timeout_ms,
	    .idle_timeout_ms = (uint32_t)s->idle_timeout_ms,
	    .write_timeout_ms = (uint32_t)s->write_timeout_ms,
	    .connections = (uint32_t)s->max_connections,
	    .buffered_bytes = s->max_buffered_bytes,
	};
}

static void
on_refused(const char *failed_by, const char *reason, void *arg)
{
	struct gateway *g = arg;
	const char *labels[] = {failed_by, reason};

	series_add(metrics_series(g->metrics, METRIC_HTTP_ERRORS, labels), 1);
}

struct web_config
gateway_web_config(struct gateway *g)
{
	return (struct web_config){
	    .limits = gateway_http_limits(&g->settings),
	    .receipts = g->settings.receipts != 0,
	    .dev = g->config->dev,
	    .on_refused = on_refused,
	    .arg = g,
	};
}

static void
apply_settings(struct gateway *g)
{
	const struct call_limits limits = gateway_call_limits(&g->settings);
	const struct web_config web = gateway_web_config(g);

	calls_set_limits(g->calls, &limits,
	    (unsigned int)g->settings.ready_workers,
	    (unsigned int)g->settings.max_workers);
	web_set_config(g->web, &web);
}

/* We run in the state directory; a relative path is from where we began. */
static void
reload_prices(struct gateway *g, const char *card)
{
	struct buf path = {0};
	struct err err = {0};

	if (card[0] != '\0' && card[0] != '/')
		buf_addf(&path, "%s/", g->config->start_path);
	buf_puts(&path, card);
	buf_putc(&path, '\0');
	if (meter_reload(g->meter, path.p, &err) < 0) {
		(void)err_wrap(&err, "price card not changed");
		gateway_note(g, LOG_LEVEL_ERROR, NULL, err.msg);
	}
	buf_fini(&path);
}

/* A broken file changes nothing and says why. */
void
gateway_on_hup(int signal, void *arg)
{
	struct gateway *g = arg;
	struct settings fresh;
	struct err err = {0};

	settings_init(&fresh);
	if (g->config->config_path != NULL &&
	    settings_load(&fresh, g->config->config_path, &err) < 0) {
		(void)err_wrap(&err, "configuration not changed");
		gateway_note(g, LOG_LEVEL_ERROR, NULL, err.msg);
		settings_fini(&fresh);
		return;
	}
	reload_prices(g, fresh.price_card);
	settings_fini(&g->settings);
	g->settings = fresh;
	apply_settings(g);
	logbook_reopen(g->logbook, g->settings.log_file_bytes);
	gateway_note(g, LOG_LEVEL_INFO, NULL, "configuration reread");
}
