/*
 * wall.c - see wall.h.
 *
 * Runs in: gateway, cli.
 */
#include "runtime/gateway/wall.h"

#include "sandbox/base/err.h"

static void
add(struct buf *why, const char *name, const char *text, const char *verdict)
{
	if (why->n > 0)
		buf_puts(why, "; ");
	buf_addf(why, "%s is missing (%s): %s", name, text, verdict);
}

int
wall_judge(const struct jail_report *report, unsigned int failed,
    unsigned int allowed, struct buf *why)
{
	int verdict = 0;

	if (failed > 0) {
		buf_addf(why, "%u self-tests of the sandbox failed", failed);
		verdict = -1;
	}
	for (unsigned int i = 0; i < JAIL_LAYERS; i++) {
		enum jail_layer layer = (enum jail_layer)i;
		const char *name = jail_layer_name(layer);

		if (report->active[i])
			continue;
		if (jail_layer_need(layer) == JAIL_WARN) {
			add(why, name, report->why[i], "served without");
		} else if (jail_layer_need(layer) == JAIL_NAMED &&
		    (allowed & (1u << i)) != 0) {
			add(why, name, report->why[i],
			    "allowed by --allow-weaker-sandbox");
		} else if (jail_layer_need(layer) == JAIL_NAMED) {
			add(why, name, report->why[i],
			    "refused; --allow-weaker-sandbox with its name "
			    "serves without");
			verdict = -1;
		} else {
			add(why, name, report->why[i],
			    "refused; there is no Perilune without it");
			verdict = -1;
		}
	}
	return verdict;
}

bool
wall_degraded(const struct jail_report *report)
{
	for (unsigned int i = 0; i < JAIL_LAYERS; i++)
		if (!report->active[i])
			return true;
	return false;
}

int
wall_allow(const char *name, unsigned int *bits, struct err *err)
{
	enum jail_layer layer = jail_layer_find(slice_of(name));

	if (layer == JAIL_LAYERS)
		return err_set(err, ERR_BAD_INPUT,
		    "no sandbox layer \"%s\"; `perilune doctor` lists them",
		    name);
	if (jail_layer_need(layer) == JAIL_ALWAYS)
		return err_set(err, ERR_BAD_INPUT,
		    "there is no Perilune without %s", name);
	*bits |= 1u << layer;
	return 0;
}
