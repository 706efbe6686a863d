/*
 * layers.c - names of the layers; the report in and out of bytes.
 *
 * Runs in: gateway, zygote, worker, cli.
 *
 * What a report says decides whether the gateway opens its doors, and its
 * reasons end up on a terminal, so nothing in it is taken on trust.
 */
#include "sandbox/wire/layers.h"

#include "sandbox/base/err.h"
#include "sandbox/wire/wire.h"

static const struct layer {
	const char *name;
	enum jail_need need;
	const char *how;
} layers[JAIL_LAYERS] = {
#define LAYER(id, name, need, how) [JAIL_##id] = {(name), (need), (how)},
#include "sandbox/wire/layers.def"
#undef LAYER
};

const char *
jail_layer_name(enum jail_layer layer)
{
	return layers[layer].name;
}

enum jail_need
jail_layer_need(enum jail_layer layer)
{
	return layers[layer].need;
}

const char *
jail_layer_how(enum jail_layer layer)
{
	return layers[layer].how;
}

enum jail_layer
jail_layer_find(struct slice name)
{
	unsigned int i = 0;

	while (i < JAIL_LAYERS && !slice_is(name, layers[i].name))
		i++;
	return (enum jail_layer)i;
}

void
jail_report_put(const struct jail_report *report, struct buf *b)
{
	wire_add_u32(b, JAIL_LAYERS);
	for (unsigned int i = 0; i < JAIL_LAYERS; i++) {
		wire_add_str(b, slice_of(layers[i].name));
		wire_add_u8(b, report->active[i]);
		wire_add_str(b, slice_of(report->why[i]));
	}
}

static bool
printable(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] < ' ' || s.p[i] > '~')
			return false;
	return true;
}

static int
get_layer(struct wire_reader *r, struct jail_report *report, bool *seen,
    struct err *err)
{
	enum jail_layer layer = jail_layer_find(wire_get_str(r));
	uint8_t active = wire_get_u8(r);
	struct slice why = wire_get_str(r);

	if (r->bad)
		return err_set(err, ERR_PEER, "jail report: cut short");
	if (layer == JAIL_LAYERS)
		return err_set(err, ERR_PEER, "jail report: unknown layer");
	if (seen[layer])
		return err_set(err, ERR_PEER, "jail report: %s twice",
		    layers[layer].name);
	if (active > 1 || (active == 1) != (why.n == 0))
		return err_set(err, ERR_PEER,
		    "jail report: %s neither active nor explained",
		    layers[layer].name);
	if (why.n >= JAIL_WHY_MAX || !printable(why))
		return err_set(err, ERR_PEER, "jail report: bad reason for %s",
		    layers[layer].name);
	seen[layer] = true;
	report->active[layer] = active == 1;
	(void)slice_copy(report->why[layer], JAIL_WHY_MAX, why);
	return 0;
}

int
jail_report_get(struct wire_reader *r, struct jail_report *report_out,
    struct err *err)
{
	struct jail_report report = {0};
	bool seen[JAIL_LAYERS] = {false};
	uint32_t n = wire_get_u32(r);

	if (r->bad || n != JAIL_LAYERS)
		return err_set(err, ERR_PEER, "jail report: not %d layers",
		    JAIL_LAYERS);
	for (uint32_t i = 0; i < n; i++)
		if (get_layer(r, &report, seen, err) < 0)
			return -1;
	*report_out = report;
	return 0;
}
