/*
 * record.c - see record.h.
 *
 * Runs in: gateway, cli.
 */
#include "runtime/stat/record.h"

#include <stddef.h>

#define X(name, text) text,
static const char *const sources[] = {RECORD_SOURCES(X)};
static const char *const kinds[] = {RECORD_KINDS(X)};
static const char *const causes[] = {RECORD_CAUSES(X)};
static const char *const outcomes[] = {RECORD_OUTCOMES(X)};
static const char *const failed_bys[] = {RECORD_FAILED_BY(X)};
#undef X

#define NAME_OF(names, n) \
	((n) < sizeof(names) / sizeof((names)[0]) ? (names)[n] : "?")

const char *
record_source_name(unsigned int source)
{
	return NAME_OF(sources, source);
}

const char *
record_kind_name(unsigned int kind)
{
	return NAME_OF(kinds, kind);
}

const char *
record_cause_name(unsigned int cause)
{
	return NAME_OF(causes, cause);
}

const char *
record_outcome_name(unsigned int outcome)
{
	return NAME_OF(outcomes, outcome);
}

const char *
record_failed_by_name(unsigned int failed_by)
{
	return NAME_OF(failed_bys, failed_by);
}
