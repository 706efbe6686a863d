/*
 * recent.h - the newest records, for listings without the ledger.
 *
 * Runs in: gateway.
 * Owns:    a ring of fixed size.
 */
#pragma once

#include "runtime/stat/record.h"

#include <stddef.h>

struct recent;

struct recent *recent_new(size_t records);
void recent_add(struct recent *recent, const struct record *record);

/* The newest n (of function; NULL: of all), newest first. */
void recent_each(const struct recent *recent, const char *function, size_t n,
    void (*each)(const struct record *record, void *arg), void *arg);
void recent_free(struct recent *recent);
