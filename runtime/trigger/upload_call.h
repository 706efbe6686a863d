/*
 * upload_call.h - accepted uploads run as calls, with their files.
 *
 * Runs in: gateway.
 * Owns:    the calls that run for uploads, each with its struct files.
 *
 * The thread between three modules that do not know each other: uploads say
 * what should run (upload.h), calls run it (call.h), files answer what the
 * handler asks for meanwhile (files.h).
 */
#pragma once

#include "runtime/call/call.h"
#include "runtime/fn/catalog.h"
#include "runtime/trigger/upload.h"

struct upload_calls;

struct upload_calls *upload_calls_new(struct loop *loop,
    struct catalog *catalog, struct calls *calls);

/* The callback for uploads_new(): arg is the struct upload_calls. */
void upload_calls_run(const struct upload_run *run, void *arg);

/* Where to report the outcome; set before the first run. */
void upload_calls_report_to(struct upload_calls *upload_calls,
    struct uploads *uploads);

/* After calls and uploads are gone. */
void upload_calls_free(struct upload_calls *upload_calls);
