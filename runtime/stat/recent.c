/*
 * recent.c - see recent.h.
 *
 * Runs in: gateway.
 */
#include "runtime/stat/recent.h"

#include <stdlib.h>
#include <string.h>

struct recent {
	size_t cap;
	size_t added; /* ever */
	struct record records[];
};

struct recent *
recent_new(size_t records)
{
	struct recent *recent =
	    calloc(1, sizeof(*recent) + records * sizeof(recent->records[0]));

	if (recent == NULL)
		abort();
	recent->cap = records;
	return recent;
}

void
recent_add(struct recent *recent, const struct record *record)
{
	recent->records[recent->added++ % recent->cap] = *record;
}

void
recent_each(const struct recent *recent, const char *function, size_t n,
    void (*each)(const struct record *record, void *arg), void *arg)
{
	size_t kept = recent->added < recent->cap ? recent->added : recent->cap;

	for (size_t i = 0; i < kept && n > 0; i++) {
		const struct record *record =
		    &recent->records[(recent->added - 1 - i) % recent->cap];

		if (function != NULL && strcmp(record->function, function) != 0)
			continue;
		each(record, arg);
		n--;
	}
}

void
recent_free(struct recent *recent)
{
	free(recent);
}
