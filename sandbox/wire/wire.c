/*
 * wire.c - frames and fields in and out of bytes.
 *
 * Runs in: gateway, zygote, worker.
 *
 * The gateway parses what a worker running a stranger's code sent, so
 * everything here treats its input as hostile and nothing here asserts on it.
 */
#include "sandbox/wire/wire.h"

#include "sandbox/base/err.h"

#define STARTING WIRE_STARTING
#define IDLE	 WIRE_IDLE
#define BUILDING WIRE_BUILDING
#define RUNNING	 WIRE_RUNNING

#define NUMBERS 128 /* message numbers are below this */

static const struct wire_rule {
	const char *name;
	uint32_t max_bytes;
	enum wire_side sender;
	unsigned int states;
} rules[NUMBERS] = {
#define MSG(name, number, sender, max, when, what) \
	[number] = {#name, (max), WIRE_##sender, (when)},
#include "sandbox/wire/wire.def"
#undef MSG
};

static const struct wire_rule *
rule_of(unsigned int type)
{
	if (type >= NUMBERS || rules[type].name == NULL)
		return NULL;
	return &rules[type];
}

static uint64_t
get_le(const uint8_t *p, size_t bytes)
{
	uint64_t v = 0;

	for (size_t i = 0; i < bytes; i++)
		v |= (uint64_t)p[i] << (8 * i);
	return v;
}

static void
put_le(uint8_t *p, uint64_t v, size_t bytes)
{
	for (size_t i = 0; i < bytes; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

int
wire_parse(struct wire_header *header_out, const void *buf, size_t buf_bytes,
    enum wire_side sender, unsigned int states, struct err *err)
{
	const uint8_t *p = buf;
	const struct wire_rule *rule;
	unsigned int type;
	uint32_t body_bytes;

	if (buf_bytes < WIRE_HEADER_BYTES)
		return 1;
	body_bytes = (uint32_t)get_le(p, 4);
	type = (unsigned int)get_le(p + 4, 2);
	rule = rule_of(type);
	if (rule == NULL)
		return err_set(err, ERR_PEER, "no message %u", type);
	if (rule->sender != sender)
		return err_set(err, ERR_PEER, "%s from the wrong side",
		    rule->name);
	if ((rule->states & states) == 0)
		return err_set(err, ERR_PEER, "%s out of turn", rule->name);
	if (get_le(p + 6, 2) != 0)
		return err_set(err, ERR_PEER, "%s with reserved flags",
		    rule->name);
	if (body_bytes > rule->max_bytes)
		return err_set(err, ERR_PEER, "%s of %u bytes, at most %u",
		    rule->name, body_bytes, rule->max_bytes);
	*header_out = (struct wire_header){
	    .body_bytes = body_bytes,
	    .type = (enum wire_type)type,
	    .call_id = get_le(p + 8, 8),
	};
	return 0;
}

void
wire_build(void *buf, const struct wire_header *header)
{
	uint8_t *p = buf;

	put_le(p, header->body_bytes, 4);
	put_le(p + 4, (uint64_t)header->type, 2);
	put_le(p + 6, 0, 2);
	put_le(p + 8, header->call_id, 8);
}

const char *
wire_name(unsigned int type)
{
	const struct wire_rule *rule = rule_of(type);

	return rule == NULL ? "?" : rule->name;
}

uint32_t
wire_max_bytes(unsigned int type)
{
	const struct wire_rule *rule = rule_of(type);

	return rule == NULL ? 0 : rule->max_bytes;
}

/* The next n bytes, or NULL after setting bad. */
static const uint8_t *
take(struct wire_reader *r, size_t n)
{
	const uint8_t *p = r->p;

	if (r->bad || n > r->n) {
		r->bad = true;
		return NULL;
	}
	r->p += n;
	r->n -= n;
	return p;
}

static uint64_t
get_number(struct wire_reader *r, size_t bytes)
{
	const uint8_t *p = take(r, bytes);

	return p == NULL ? 0 : get_le(p, bytes);
}

uint8_t
wire_get_u8(struct wire_reader *r)
{
	return (uint8_t)get_number(r, 1);
}

uint16_t
wire_get_u16(struct wire_reader *r)
{
	return (uint16_t)get_number(r, 2);
}

uint32_t
wire_get_u32(struct wire_reader *r)
{
	return (uint32_t)get_number(r, 4);
}

uint64_t
wire_get_u64(struct wire_reader *r)
{
	return get_number(r, 8);
}

struct slice
wire_get_raw(struct wire_reader *r, size_t n)
{
	const uint8_t *p = take(r, n);

	return p == NULL ? (struct slice){0} : slice_from(p, n);
}

struct slice
wire_get_str(struct wire_reader *r)
{
	size_t n = wire_get_u32(r);

	return wire_get_raw(r, n);
}

struct slice
wire_get_rest(struct wire_reader *r)
{
	return wire_get_raw(r, r->n);
}

bool
wire_got_all(const struct wire_reader *r)
{
	return !r->bad && r->n == 0;
}

/* Where n bytes go, or NULL after setting full. */
static uint8_t *
room(struct wire_writer *w, size_t n)
{
	uint8_t *p = w->p + w->n;

	if (w->full || n > w->cap - w->n) {
		w->full = true;
		return NULL;
	}
	w->n += n;
	return p;
}

static void
put_number(struct wire_writer *w, uint64_t v, size_t bytes)
{
	uint8_t *p = room(w, bytes);

	if (p != NULL)
		put_le(p, v, bytes);
}

void
wire_put_u8(struct wire_writer *w, uint8_t v)
{
	put_number(w, v, 1);
}

void
wire_put_u16(struct wire_writer *w, uint16_t v)
{
	put_number(w, v, 2);
}

void
wire_put_u32(struct wire_writer *w, uint32_t v)
{
	put_number(w, v, 4);
}

void
wire_put_u64(struct wire_writer *w, uint64_t v)
{
	put_number(w, v, 8);
}

void
wire_put_raw(struct wire_writer *w, const void *src, size_t n)
{
	uint8_t *p = room(w, n);

	if (p != NULL && n > 0)
		memcpy(p, src, n);
}

void
wire_put_str(struct wire_writer *w, struct slice s)
{
	wire_put_u32(w, (uint32_t)s.n);
	wire_put_raw(w, s.p, s.n);
}

static void
add_number(struct buf *b, uint64_t v, size_t bytes)
{
	put_le((uint8_t *)buf_room(b, bytes), v, bytes);
	b->n += bytes;
}

void
wire_add_u8(struct buf *b, uint8_t v)
{
	add_number(b, v, 1);
}

void
wire_add_u16(struct buf *b, uint16_t v)
{
	add_number(b, v, 2);
}

void
wire_add_u32(struct buf *b, uint32_t v)
{
	add_number(b, v, 4);
}

void
wire_add_u64(struct buf *b, uint64_t v)
{
	add_number(b, v, 8);
}

void
wire_add_str(struct buf *b, struct slice s)
{
	wire_add_u32(b, (uint32_t)s.n);
	buf_add_slice(b, s);
}

size_t
wire_add_begin(struct buf *b, enum wire_type type, uint64_t call_id)
{
	struct wire_header header = {.type = type, .call_id = call_id};
	size_t begin = b->n;

	wire_build(buf_room(b, WIRE_HEADER_BYTES), &header);
	b->n += WIRE_HEADER_BYTES;
	return begin;
}

void
wire_add_end(struct buf *b, size_t begin)
{
	put_le((uint8_t *)b->p + begin, b->n - begin - WIRE_HEADER_BYTES, 4);
}
