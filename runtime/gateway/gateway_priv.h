/*
 * gateway_priv.h - the one struct gateway, for the files that make it up.
 *
 * Runs in: gateway.
 *
 * gateway.c		who calls whom; ready, drain
 * gateway_log.c	lines for the log, and where each record goes
 * gateway_settings.c	who is told which setting
 * gateway_metrics.c	numbers that others keep, put into metrics
 */
#pragma once

#include "runtime/admin/admin.h"
#include "runtime/gateway/gateway.h"
#include "runtime/loop/loop.h"
#include "runtime/trigger/upload_call.h"

struct gateway {
	const struct gateway_config *config;
	struct settings settings;
	struct loop *loop;
	struct store *store;
	struct meter *meter;
	struct logbook *logbook;
	struct metrics *metrics;
	struct recent *recent;
	struct calls *calls;
	struct catalog *catalog;
	struct web *web;
	struct upload_calls *upload_calls;
	struct uploads *uploads;
	struct admin *admin;
	struct loop_watch *supervisor;
	struct loop_timer *ready_timer;
	struct loop_timer *chores;
	const char *meter_said; /* by meter_note(), last */
	int64_t compacted_ms;
	int64_t log_second; /* of wall time, in which so many lines were */
	uint64_t logged;    /* ... written for invocations */
	uint64_t unlogged;  /* ... not */
	struct jail_report report;
	struct buf self_test;
	struct buf listen_json;
	int supervisor_fd;
	int64_t started_ms;
	bool settled; /* the functions found at start are decided */
	bool waited;  /* long enough for them */
	bool ready;
	bool stopping;
	int status;
};

/* Bring the metrics that are kept elsewhere up to date; arg: the gateway. */
void gateway_update_metrics(void *arg);

/* gateway_log.c; arg is the gateway everywhere.  function NULL: of the platform. */
void gateway_note(struct gateway *g, enum log_level level, const char *function,
    const char *what);
void gateway_on_log(const struct fn_version *version, const char *request_id,
    enum wire_log level, struct slice text, struct slice fields, void *arg);
void gateway_on_call_note(const struct fn_version *version, const char *what,
    void *arg);
void gateway_on_upload_note(const char *function, const char *what, void *arg);
void gateway_on_catalog_note(const char *name, const char *what, void *arg);
bool gateway_may_record(void *arg);
void gateway_on_record(struct record *record, void *arg);
void gateway_on_over(const struct fn_version *version,
    const struct call_result *result, void *arg);
/* A new second of wall time has begun. */
void gateway_log_second(struct gateway *g, int64_t second);

/* gateway_settings.c */
struct call_limits gateway_call_limits(const struct settings *s);
struct http_limits gateway_http_limits(const struct settings *s);
struct web_config gateway_web_config(struct gateway *g);
void gateway_on_hup(int signal, void *arg);
