/*
 * metrics.c - the registry of series, and its text form; see metrics.h.
 *
 * Runs in: gateway.
 * Owns:    every series; a hash table finds them by their rendered labels.
 *
 * What a record says about a function is in views.c.
 */
#include "runtime/stat/metrics.h"

#include "runtime/stat/metrics_priv.h"
#include "sandbox/base/bytes.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_MAX   128 /* bytes of a label value; the rest is cut */
#define BUCKETS_MIN 1024
#define LE_FIRST    2  /* histogram lines: 2^2 us, 2^4 us, ... */
#define LE_LAST	    26 /* ... 2^26 us, which is 67 s */

enum metric_type { TYPE_COUNTER, TYPE_SECONDS, TYPE_GAUGE, TYPE_HISTOGRAM };

struct metric_row {
	enum metric_type type;
	const char *name;
	const char *help;
	const char *labels;
};

static const struct metric_row table[METRICS_N] = {
#define COUNTER(id, name, help, labels)	  {TYPE_COUNTER, name, help, labels},
#define SECONDS(id, name, help, labels)	  {TYPE_SECONDS, name, help, labels},
#define GAUGE(id, name, help, labels)	  {TYPE_GAUGE, name, help, labels},
#define HISTOGRAM(id, name, help, labels) {TYPE_HISTOGRAM, name, help, labels},
#include "runtime/stat/metrics.def"
#undef COUNTER
#undef SECONDS
#undef GAUGE
#undef HISTOGRAM
};

static const char *const type_names[] = {"counter", "counter", "gauge",
    "histogram"};

#define X(name, text, field) text,
static const char *const phase_names[] = {METRICS_PHASES(X)};
#undef X

const char *
metrics_phase_name(unsigned int phase)
{
	return phase < METRICS_PHASES_N ? phase_names[phase] : "?";
}

void *
metrics_must(void *p)
{
	if (p == NULL)
		abort();
	return p;
}

struct metrics *
metrics_new(size_t max_series)
{
	struct metrics *metrics = metrics_must(calloc(1, sizeof(*metrics)));

	metrics->max = max_series == 0 ? METRICS_SERIES_DEFAULT : max_series;
	metrics->nbuckets = BUCKETS_MIN;
	while (metrics->nbuckets < metrics->max)
		metrics->nbuckets *= 2;
	metrics->buckets =
	    metrics_must(calloc(metrics->nbuckets, sizeof(struct series *)));
	for (int i = 0; i < METRICS_N; i++)
		TAILQ_INIT(&metrics->lists[i]);
	return metrics;
}

/* FNV-1a: http://www.isthe.com/chongo/tech/comp/fnv/ */
uint32_t
metrics_hash(uint32_t hash, const char *p, size_t n)
{
	for (size_t i = 0; i < n; i++)
		hash = (hash ^ (unsigned char)p[i]) * 16777619u;
	return hash;
}

/* A label value: quotes, backslashes and what is no printable ASCII can't
 * break a line. */
static void
put_value(struct buf *out, const char *value)
{
	buf_putc(out, '"');
	for (size_t i = 0; value[i] != '\0' && i < VALUE_MAX; i++) {
		char c = value[i];

		if (c == '"' || c == '\\')
			buf_putc(out, '\\');
		buf_putc(out, c >= 0x20 && c < 0x7f ? c : '_');
	}
	buf_putc(out, '"');
}

/* name="value",name="value" in scratch; *function_out: the value of the label
 * `function`, or NULL. */
static void
render_labels(struct metrics *metrics, enum metric metric,
    const char *const *values, const char **function_out)
{
	const char *name = table[metric].labels;
	struct buf *out = &metrics->scratch;

	buf_reset(out, SIZE_MAX);
	*function_out = NULL;
	for (int i = 0; *name != '\0'; i++) {
		size_t n = strcspn(name, ",");

		assert(i < METRICS_LABELS_MAX && values != NULL);
		if (slice_is(slice_from(name, n), "function"))
			*function_out = values[i];
		if (i > 0)
			buf_putc(out, ',');
		buf_add(out, name, n);
		buf_putc(out, '=');
		put_value(out, values[i]);
		name += n + (name[n] == ',');
	}
}

static struct series *
find(const struct metrics *metrics, enum metric metric, uint32_t hash)
{
	struct series *series =
	    metrics->buckets[hash & (metrics->nbuckets - 1)];

	while (series != NULL &&
	    (series->hash != hash || series->metric != metric ||
		!slice_eq(slice_of(series->labels),
		    buf_slice(&metrics->scratch))))
		series = series->hash_next;
	return series;
}

static struct series *
add(struct metrics *metrics, enum metric metric, uint32_t hash,
    const char *function)
{
	struct series *series = metrics_must(calloc(1, sizeof(*series)));
	struct series **head =
	    &metrics->buckets[hash & (metrics->nbuckets - 1)];

	series->metric = metric;
	series->hash = hash;
	series->labels = slice_dup(buf_slice(&metrics->scratch));
	if (function != NULL)
		(void)slice_copy(series->function, sizeof(series->function),
		    slice_of(function));
	if (table[metric].type == TYPE_HISTOGRAM)
		series->hist = metrics_must(calloc(1, sizeof(struct hist)));
	series->hash_next = *head;
	*head = series;
	TAILQ_INSERT_TAIL(&metrics->lists[metric], series, entries);
	metrics->n++;
	return series;
}

static struct series *
get(struct metrics *metrics, enum metric metric, const char *const *values,
    bool over)
{
	const char *function;
	struct series *series;
	uint32_t hash;

	render_labels(metrics, metric, values, &function);
	hash = metrics_hash(METRICS_HASH_START ^ (uint32_t)metric,
	    metrics->scratch.p, metrics->scratch.n);
	series = find(metrics, metric, hash);
	if (series != NULL)
		return series;
	if (metrics->n >= metrics->max && !over)
		return NULL;
	return add(metrics, metric, hash, function);
}

struct series *
metrics_series(struct metrics *metrics, enum metric metric,
    const char *const *values)
{
	static const char *const other[METRICS_LABELS_MAX] = {METRICS_OTHER,
	    METRICS_OTHER, METRICS_OTHER, METRICS_OTHER};
	struct series *series;

	assert(metric < METRICS_N);
	series = get(metrics, metric, values, false);
	return series != NULL ? series : get(metrics, metric, other, true);
}

void
series_add(struct series *series, uint64_t n)
{
	series->value += n;
}

void
series_set(struct series *series, uint64_t value)
{
	series->value = value;
}

void
series_observe(struct series *series, uint64_t us)
{
	assert(series->hist != NULL);
	hist_add(series->hist, us);
}

void
series_read(struct series *series, uint64_t (*read)(void *arg), void *arg)
{
	series->read = read;
	series->arg = arg;
}

static void
unhash(struct metrics *metrics, struct series *series)
{
	struct series **at =
	    &metrics->buckets[series->hash & (metrics->nbuckets - 1)];

	while (*at != series)
		at = &(*at)->hash_next;
	*at = series->hash_next;
}

static void
series_free(struct metrics *metrics, struct series *series)
{
	unhash(metrics, series);
	TAILQ_REMOVE(&metrics->lists[series->metric], series, entries);
	metrics->n--;
	free(series->labels);
	free(series->hist);
	free(series);
}

/* All series of one function; NULL: all series. */
static void
drop(struct metrics *metrics, const char *function)
{
	for (int i = 0; i < METRICS_N; i++) {
		struct series *series = TAILQ_FIRST(&metrics->lists[i]);

		while (series != NULL) {
			struct series *next = TAILQ_NEXT(series, entries);

			if (function == NULL ||
			    strcmp(series->function, function) == 0)
				series_free(metrics, series);
			series = next;
		}
	}
}

void
metrics_forget(struct metrics *metrics, const char *function)
{
	if (strcmp(function, METRICS_OTHER) == 0 || *function == '\0')
		return;
	views_forget(metrics, function);
	drop(metrics, function);
}

static void
put_seconds(struct buf *out, uint64_t us)
{
	buf_addf(out, "%llu.%06llu", (unsigned long long)(us / 1000000),
	    (unsigned long long)(us % 1000000));
}

static void
put_name(struct buf *out, const struct series *series, const char *suffix,
    const char *more)
{
	bool any = *series->labels != '\0' || *more != '\0';

	buf_puts(out, table[series->metric].name);
	buf_puts(out, suffix);
	if (any)
		buf_putc(out, '{');
	buf_puts(out, series->labels);
	if (*series->labels != '\0' && *more != '\0')
		buf_putc(out, ',');
	buf_puts(out, more);
	buf_puts(out, any ? "} " : " ");
}

static void
write_hist(const struct series *series, struct buf *out)
{
	const struct hist *hist = series->hist;
	char le[48];

	for (unsigned int i = LE_FIRST; i <= LE_LAST; i += 2) {
		unsigned long us = 1ul << i;

		(void)snprintf(le, sizeof(le), "le=\"%lu.%06lu\"", us / 1000000,
		    us % 1000000);
		put_name(out, series, "_bucket", le);
		buf_addf(out, "%llu\n",
		    (unsigned long long)hist_below(hist, i));
	}
	put_name(out, series, "_bucket", "le=\"+Inf\"");
	buf_addf(out, "%llu\n", (unsigned long long)hist->count);
	put_name(out, series, "_sum", "");
	put_seconds(out, hist->sum);
	buf_putc(out, '\n');
	put_name(out, series, "_count", "");
	buf_addf(out, "%llu\n", (unsigned long long)hist->count);
}

static void
write_series(const struct series *series, struct buf *out)
{
	uint64_t value =
	    series->read != NULL ? series->read(series->arg) : series->value;

	if (series->hist != NULL) {
		write_hist(series, out);
		return;
	}
	put_name(out, series, "", "");
	if (table[series->metric].type == TYPE_SECONDS)
		put_seconds(out, value);
	else
		buf_addf(out, "%llu", (unsigned long long)value);
	buf_putc(out, '\n');
}

void
metrics_write(const struct metrics *metrics, struct buf *out)
{
	for (int i = 0; i < METRICS_N; i++) {
		const struct series *series;

		if (TAILQ_EMPTY(&metrics->lists[i]))
			continue;
		buf_addf(out, "# HELP %s %s\n# TYPE %s %s\n", table[i].name,
		    table[i].help, table[i].name, type_names[table[i].type]);
		TAILQ_FOREACH (series, &metrics->lists[i], entries)
			write_series(series, out);
	}
}

void
metrics_free(struct metrics *metrics)
{
	if (metrics == NULL)
		return;
	views_fini(metrics);
	drop(metrics, NULL);
	free(metrics->buckets);
	buf_fini(&metrics->scratch);
	free(metrics);
}
