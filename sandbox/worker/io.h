/*
 * io.h - frames in and out of a worker's one descriptor.
 *
 * Runs in: zygote (io_prepare), worker.
 * Owns:    three regions of address space: the inbox, into which one read
 *          takes as many frames as have come, the outbox, in which RESULT is
 *          put together and may wait for others, and the askbox for everything
 *          that is sent while a RESULT may be half put.
 *
 * The gateway is trusted here; a frame that it could not have sent, and the
 * end of the stream, end the worker.
 */
#pragma once

#include "sandbox/wire/wire.h"

/* Map the regions.  0, or -1 with errno. */
int io_prepare(void);

/*
 * Wait for the next frame; results that were kept leave before that.  The
 * reader's bytes are valid until the next call of io_next or io_await.
 */
struct wire_reader io_next(struct wire_header *header_out);

/*
 * Wait for the next frame, which must be of this type, and take its body of at
 * most max bytes to p, not through the inbox.  Returns the bytes.
 */
size_t io_next_into(enum wire_type type, char *p, size_t max);

/* Until this is called, a read takes little more than what is needed, so that
 * an image does not go through the inbox. */
void io_be_greedy(void);

/* Touch the memory that a first small request needs. */
void io_touch(void);

/*
 * Wait for the answer to what was asked in this call.  An INVOKE that comes
 * before it is dropped, and on_recall is called for a RECALL: PROTOCOL.md.
 */
struct wire_reader io_await(enum wire_type type, uint64_t call_id,
    void (*on_recall)(void));

/* A writer on the frame's box, its header already put; then io_send(). */
struct wire_writer io_begin(enum wire_type type, uint64_t call_id);

/* Write a number over one put before, at offset `at` of the writer. */
void io_patch_u64(struct wire_writer *w, size_t at, uint64_t value);

/* A RESULT is kept; everything else leaves at once, behind what was kept. */
void io_send(struct wire_writer *w);

/*
 * The call is over: results that were kept leave, unless another whole frame
 * is here.  One whose call has said anything else is never kept, so that the
 * gateway knows which call a worker that died was running.
 */
void io_settle(void);

/* A frame whose body stands elsewhere; leaves at once. */
void io_send_raw(enum wire_type type, uint64_t call_id, const void *body,
    size_t n);
