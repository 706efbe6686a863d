/*
 * doctor.c - `perilune doctor`: the wall on this host, layer by layer.
 *
 * Runs in: cli.
 */
#include "runtime/gateway/commands.h"
#include "runtime/gateway/solo.h"
#include "runtime/gateway/wall.h"
#include "sandbox/base/err.h"
#include "tools/cli/cli.h"
#include "tools/cli/opts.h"

#include <stdio.h>

static const char *
state_of(const struct jail_report *report, enum jail_layer layer)
{
	if (report->active[layer])
		return "active";
	return jail_layer_need(layer) == JAIL_WARN ? "missing" : "REFUSED";
}

static void
print_layers(const struct jail_report *report)
{
	(void)printf("%-26s %-8s %s\n", "LAYER", "STATE",
	    "HOW IT WAS VERIFIED");
	for (unsigned int i = 0; i < JAIL_LAYERS; i++) {
		enum jail_layer layer = (enum jail_layer)i;

		(void)printf("%-26s %-8s %s\n", jail_layer_name(layer),
		    state_of(report, layer), jail_layer_how(layer));
		if (!report->active[i])
			(void)printf("%-26s %-8s why: %s\n", "", "",
			    report->why[i]);
	}
}

static void
print_tests(struct slice tests)
{
	(void)printf("\n%-38s %-20s %s\n", "SELF-TEST", "MUST END IN",
	    "ENDED IN");
	while (tests.n > 0) {
		const char *end = memchr(tests.p, '\n', tests.n);
		size_t n = end == NULL ? tests.n : (size_t)(end - tests.p);
		char line[256];
		char *tab;
		char *tab2;

		(void)slice_copy(line, sizeof(line), slice_from(tests.p, n));
		tab = strchr(line, '\t');
		tab2 = tab == NULL ? NULL : strchr(tab + 1, '\t');
		if (tab2 != NULL) {
			*tab = *tab2 = '\0';
			(void)printf("%-38s %-20s %s\n", line, tab + 1,
			    tab2 + 1);
		}
		n += end != NULL;
		tests = slice_from(tests.p + n, tests.n - n);
	}
}

/* Memory-safety bugs of Lua that plain source can reach, and the last
 * release that has them (the upstream commits are named in SECURITY.md).  They are why
 * the wall does not count on Lua. */
static const struct hole {
	unsigned int last_with; /* 5.4.x */
	const char *what;
} holes[] = {
    {4, "__concat with a growing stack: use after free (in patched 5.4.4 too)"},
    {4, "chains of coroutine.close in __close: C stack overflow"},
    {7,
	"emergency collection in luaV_finishset: use after free (not reached: "
	"our allocator never fails)"},
};

static void
print_lua(const struct solo *solo)
{
	struct slice lua = solo_lua(solo);
	uint64_t patch = 0;

	(void)printf("\nsandbox runs %.*s\n", (int)lua.n, lua.p);
	if (lua.n > 8)
		(void)slice_u64(slice_from(lua.p + 8, lua.n - 8), 99, &patch);
	for (size_t i = 0; i < sizeof(holes) / sizeof(holes[0]); i++)
		if (patch <= holes[i].last_with)
			(void)printf("  known hole: %s\n", holes[i].what);
}

static void
print_json(const struct solo *solo, int verdict)
{
	const struct jail_report *report = solo_report(solo);
	struct buf out = {0};

	buf_puts(&out, "{\"layers\":[");
	for (unsigned int i = 0; i < JAIL_LAYERS; i++) {
		enum jail_layer layer = (enum jail_layer)i;

		buf_puts(&out, i == 0 ? "{\"name\":" : ",{\"name\":");
		buf_json_string(&out, slice_of(jail_layer_name(layer)));
		buf_addf(&out, ",\"active\":%s,\"required\":%s,\"how\":",
		    report->active[i] ? "true" : "false",
		    jail_layer_need(layer) == JAIL_WARN ? "false" : "true");
		buf_json_string(&out, slice_of(jail_layer_how(layer)));
		buf_puts(&out, ",\"why\":");
		buf_json_string(&out, slice_of(report->why[i]));
		buf_putc(&out, '}');
	}
	buf_addf(&out,
	    "],\"self_tests_failed\":%u,\"degraded\":%s,\"refused\":%s}\n",
	    solo_failed_tests(solo), wall_degraded(report) ? "true" : "false",
	    verdict < 0 ? "true" : "false");
	(void)fwrite(out.p, 1, out.n, stdout);
	buf_fini(&out);
}

int
command_doctor(int argc, char **argv)
{
	bool json = false;
	const struct opt opts[] = {{"json", 0, OPT_FLAG, &json, 0, 0}};
	struct err err = {0};
	struct buf why = {0};
	struct solo *solo;
	bool degraded;
	int verdict;

	if (opts_parse(OPTS(opts), &argc, argv, 0, 0, "") != 0)
		return CLI_USAGE;
	solo = solo_open(~0u, &err);
	if (solo == NULL) {
		(void)fprintf(stderr, "perilune: %s\n", err.msg);
		return CLI_FAILED;
	}
	verdict =
	    wall_judge(solo_report(solo), solo_failed_tests(solo), 0, &why);
	degraded = wall_degraded(solo_report(solo));
	if (json) {
		print_json(solo, verdict);
	} else {
		print_layers(solo_report(solo));
		print_tests(solo_self_test(solo));
		print_lua(solo);
		(void)printf("\n%s%.*s\n",
		    verdict < 0	   ? "Perilune would refuse to serve: "
			: degraded ? "degraded: "
				   : "the wall is whole",
		    (int)why.n, why.n > 0 ? why.p : "");
	}
	buf_fini(&why);
	solo_close(solo);
	return verdict < 0 ? CLI_FAILED : degraded ? CLI_DEGRADED : CLI_OK;
}

int
commands_sandbox_version(void)
{
	struct err err = {0};
	struct solo *solo = solo_open(~0u, &err);

	if (solo == NULL) {
		(void)fprintf(stderr, "perilune: %s\n", err.msg);
		return CLI_FAILED;
	}
	print_lua(solo);
	solo_close(solo);
	return CLI_OK;
}
