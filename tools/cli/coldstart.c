/*
 * coldstart.c - see coldstart.h.
 *
 * Runs in: cli.
 */
#include "tools/cli/coldstart.h"

#include "tools/cli/admin.h"
#include "tools/cli/human.h"
#include "tools/cli/term.h"

#include <stdlib.h>
#include <string.h>

#define BAR_COLUMNS 40
#define EIGHTHS	    8

#define X(id, name) name,
static const char *const phase_names[] = {PHASES(X)};
#undef X

void
samples_init(struct samples *series, const char *kind)
{
	*series = (struct samples){.kind = kind};
}

void
samples_fini(struct samples *series)
{
	for (size_t i = 0; i < PHASE_COUNT; i++)
		free(series->values[i]);
	*series = (struct samples){0};
}

static void
grow(struct samples *series)
{
	if (series->n < series->cap)
		return;
	series->cap = series->cap == 0 ? 128 : series->cap * 2;
	for (size_t i = 0; i < PHASE_COUNT; i++) {
		series->values[i] =
		    realloc(series->values[i], series->cap * sizeof(uint64_t));
		if (series->values[i] == NULL)
			abort();
	}
}

void
samples_add(struct samples *series, const json_t *record)
{
	const json_t *us = json_object_get(record, "us");
	const char *kind = js_text(json_object_get(record, "start"), "kind");
	uint64_t total = 0;

	if (strcmp(kind, series->kind) != 0) {
		series->other++;
		(void)snprintf(series->other_kind, sizeof(series->other_kind),
		    "%s", kind);
		return;
	}
	grow(series);
	for (size_t i = 0; i < PHASE_TOTAL; i++) {
		uint64_t value = js_count(us, phase_names[i]);

		series->values[i][series->n] = value;
		if (i <= PHASE_INIT)
			total += value;
	}
	series->values[PHASE_TOTAL][series->n++] = total;
}

void
samples_sort(struct samples *series)
{
	for (size_t i = 0; i < PHASE_COUNT; i++)
		stats_sort(series->values[i], series->n);
}

struct stats
samples_stats(const struct samples *series, enum phase phase)
{
	return stats_of(series->values[phase], series->n);
}

static void
add_stats(struct table *table, enum term_colour colour, struct stats stats)
{
	term_table_add(table, colour, "%s", human_us(stats.p50).text);
	term_table_add(table, colour, "%s", human_us(stats.p90).text);
	term_table_add(table, colour, "%s", human_us(stats.p99).text);
	term_table_add(table, colour, "%s", human_us(stats.max).text);
}

void
samples_print(const struct samples *cold, const struct samples *warm, FILE *f)
{
	struct table *table = term_table_new(warm == NULL
		? "PHASE|>P50|>P90|>P99|>MAX"
		: "PHASE|>P50|>P90|>P99|>MAX|>WARM P50|>P90|>P99|>MAX");

	for (size_t i = 0; i < PHASE_COUNT; i++) {
		enum term_colour colour =
		    i == PHASE_TOTAL ? TERM_BOLD : TERM_PLAIN;

		term_table_add(table, colour, "%s", phase_names[i]);
		add_stats(table, colour, samples_stats(cold, (enum phase)i));
		if (warm != NULL)
			add_stats(table, colour,
			    samples_stats(warm, (enum phase)i));
	}
	term_table_print(table, f);
	term_table_free(table);
}

/* A bar of count / most, in eighths of a column where UTF-8 allows it. */
static void
print_bar(size_t count, size_t most, FILE *f)
{
	static const char *const parts[EIGHTHS] = {"", "▏", "▎", "▍", "▌", "▋",
	    "▊", "▉"};
	bool blocks = term_utf8();
	size_t eighths = count * BAR_COLUMNS * EIGHTHS / most;

	if (count > 0 && eighths == 0)
		eighths = 1;
	for (size_t i = 0; i < eighths / EIGHTHS; i++)
		(void)fputs(blocks ? "█" : "#", f);
	if (blocks)
		(void)fputs(parts[eighths % EIGHTHS], f);
	else if (eighths % EIGHTHS >= EIGHTHS / 2 || eighths < EIGHTHS)
		(void)fputs(count > 0 ? "." : "", f);
}

static size_t
most_of(const struct stats_bin *bins, size_t n)
{
	size_t most = 1;

	for (size_t i = 0; i < n; i++)
		if (bins[i].count > most)
			most = bins[i].count;
	return most;
}

void
samples_histogram(const struct samples *series, FILE *f)
{
	struct stats_bin bins[STATS_BINS_MAX];
	size_t n =
	    stats_histogram(series->values[PHASE_TOTAL], series->n, bins);
	size_t most = most_of(bins, n);

	for (size_t i = 0; i < n; i++) {
		const char *text = human_us(bins[i].from).text;
		size_t width = term_width(slice_of(text));

		(void)fprintf(f, "  %s%*s%s ",
		    bins[i].to == UINT64_MAX && i > 0 ? ">=" : "  ",
		    (int)(width < 9 ? 9 - width : 0), "", text);
		print_bar(bins[i].count, most, f);
		(void)fprintf(f, " %zu\n", bins[i].count);
	}
}

json_t *
samples_json(const struct samples *series)
{
	json_t *phases = json_object();

	for (size_t i = 0; i < PHASE_COUNT; i++) {
		struct stats s = samples_stats(series, (enum phase)i);
		char name[16];

		(void)snprintf(name, sizeof(name), "%s_us", phase_names[i]);
		(void)json_object_set_new(phases, name,
		    json_pack("{sI sI sI sI sI}", "count", (json_int_t)s.count,
			"p50", (json_int_t)s.p50, "p90", (json_int_t)s.p90,
			"p99", (json_int_t)s.p99, "max", (json_int_t)s.max));
	}
	return json_pack("{ss sI sI sI so}", "kind", series->kind, "count",
	    (json_int_t)series->n, "other_kind_count",
	    (json_int_t)series->other, "failed_count",
	    (json_int_t)series->failed, "phases", phases);
}
