/*
 * wire.h - the language gateway and worker speak: frames on a stream socket.
 *
 * Runs in: gateway, zygote, worker.
 * Owns:    nothing; it reads and writes memory the caller gives it.
 *
 * A frame is a 16-byte header, little-endian, then a body:
 *
 *	u32 body_bytes | u16 type | u16 flags (0) | u64 call_id
 *
 * A body is fields put and got one by one, never a C struct, so that a bad
 * peer can only make a getter fail.  PROTOCOL.md has the fields of each
 * message.  A string is a u32 length and its bytes.
 */
#pragma once

#include "sandbox/base/bytes.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct err;

#define WIRE_HEADER_BYTES 16
#define WIRE_SEED_BYTES	  32 /* of fresh randomness with each event */

enum wire_type {
#define MSG(name, number, sender, max, when, what) WIRE_##name = (number),
#include "sandbox/wire/wire.def"
#undef MSG
};

enum wire_side { WIRE_GATEWAY, WIRE_WORKER };

/* What a worker is doing, as the gateway knows it. */
enum wire_state {
	WIRE_STARTING = 1, /* forked, has not said READY */
	WIRE_IDLE = 2,	   /* waits for work */
	WIRE_BUILDING = 4, /* runs a function's init */
	WIRE_RUNNING = 8,  /* runs a handler */
};

enum wire_event { WIRE_EVENT_HTTP = 1, WIRE_EVENT_JSON = 2 };

/* Why FAILED was sent. */
enum wire_failure {
	WIRE_FAIL_ERROR = 1, /* the function raised an error */
	WIRE_FAIL_TIMEOUT,   /* interrupted at the deadline */
	WIRE_FAIL_MEMORY,    /* the arena is full */
	WIRE_FAIL_RESULT,    /* the handler's result cannot be sent */
	WIRE_FAIL_LOAD,	     /* the source does not compile */
};

enum wire_heap { WIRE_HEAP_FRESH = 0, WIRE_HEAP_SHARED = 1 };

enum wire_log { WIRE_LOG_DEBUG, WIRE_LOG_INFO, WIRE_LOG_WARN, WIRE_LOG_ERROR };

struct wire_header {
	uint64_t call_id;
	uint32_t body_bytes;
	enum wire_type type;
};

/*
 * Read the header at buf.  Returns 0 when *header_out is filled, 1 when more
 * bytes are needed, -1 when no honest sender would have sent this.  states:
 * the wire_state bits in which the receiver stands.
 */
int wire_parse(struct wire_header *header_out, const void *buf,
    size_t buf_bytes, enum wire_side sender, unsigned int states,
    struct err *err);

/* Write a header into buf, which has room for WIRE_HEADER_BYTES. */
void wire_build(void *buf, const struct wire_header *header);

/* "INVOKE", for logs; "?" if there is no such message. */
const char *wire_name(unsigned int type);

/* The largest body that type may have; 0 if there is no such message. */
uint32_t wire_max_bytes(unsigned int type);

/*
 * Getting fields.  A getter that runs over the end sets bad and returns zero
 * or an empty slice, so a parser checks once, at the end, with wire_got_all.
 */
struct wire_reader {
	const uint8_t *p;
	size_t n;
	bool bad;
};

uint8_t wire_get_u8(struct wire_reader *r);
uint16_t wire_get_u16(struct wire_reader *r);
uint32_t wire_get_u32(struct wire_reader *r);
uint64_t wire_get_u64(struct wire_reader *r);
struct slice wire_get_str(struct wire_reader *r);	    /* borrowed */
struct slice wire_get_raw(struct wire_reader *r, size_t n); /* borrowed */
struct slice wire_get_rest(struct wire_reader *r);	    /* borrowed */

/* True when nothing was bad and nothing is left over. */
bool wire_got_all(const struct wire_reader *r);

/*
 * Putting fields into memory of fixed size (the worker has no malloc).  What
 * does not fit sets full and is not put.
 */
struct wire_writer {
	uint8_t *p;
	size_t n;   /* bytes put */
	size_t cap; /* bytes there is room for */
	bool full;
};

void wire_put_u8(struct wire_writer *w, uint8_t v);
void wire_put_u16(struct wire_writer *w, uint16_t v);
void wire_put_u32(struct wire_writer *w, uint32_t v);
void wire_put_u64(struct wire_writer *w, uint64_t v);
void wire_put_str(struct wire_writer *w, struct slice s);
void wire_put_raw(struct wire_writer *w, const void *p, size_t n);

/* Putting fields into a buf (the gateway). */
void wire_add_u8(struct buf *b, uint8_t v);
void wire_add_u16(struct buf *b, uint16_t v);
void wire_add_u32(struct buf *b, uint32_t v);
void wire_add_u64(struct buf *b, uint64_t v);
void wire_add_str(struct buf *b, struct slice s);

/* Begin a frame at the end of b; returns where, for wire_add_end. */
size_t wire_add_begin(struct buf *b, enum wire_type type, uint64_t call_id);
void wire_add_end(struct buf *b, size_t begin);
