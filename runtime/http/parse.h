/*
 * parse.h - request heads and chunked bodies out of bytes in memory.
 *
 * Runs in: gateway.
 * Owns:    a head owns its table of fields and its decoded path.
 *
 * No I/O and no time in here: this is what is fuzzed.  What comes out never
 * depends on how the bytes were cut into reads.
 *
 *	http_scan     more bytes have come: is the head whole?
 *	http_parse    what does the whole head say?
 *	http_chunked  take the body out of its chunks
 */
#pragma once

#include "runtime/http/http.h"

enum http_fault {
	HTTP_FAULT_NONE,
#define FAULT(name, status, failed_by, reason, detail) HTTP_FAULT_##name,
#include "runtime/http/faults.def"
#undef FAULT
};

/* Status, words and text of a fault (not of HTTP_FAULT_NONE). */
void http_fault_problem(enum http_fault fault, struct http_problem *out);

/* Where the search for the end of a head stands; starts as {0}. */
struct http_scan {
	size_t begin;	   /* of the request line: after an empty line */
	size_t line;	   /* begin of the line being searched */
	size_t seen;	   /* no LF between line and here */
	size_t head_bytes; /* the whole head, once done */
	bool done;
};

/*
 * Go on searching in p: the same bytes as last time and perhaps more of them.
 * Enforces line_bytes and head_bytes, and that lines end in CR LF.
 */
enum http_fault http_scan(struct http_scan *scan,
    const struct http_limits *limits, const char *p, size_t n);

struct http_head {
	struct http_request request; /* all but body, peer and the times */
	struct http_header *headers; /* what request.headers points to */
	size_t headers_cap;
	struct buf path;	 /* the path, when it had to be decoded */
	struct slice authority;	 /* of an absolute-form target */
	uint64_t content_length; /* 0 without one */
	bool has_length;
	bool chunked;
	bool http10;
	bool asterisk;	      /* OPTIONS * */
	bool keep_alive;      /* what version and Connection ask for */
	bool expect_continue; /* never for HTTP/1.0 */
	bool expect_unknown;
};

/*
 * Parse a whole head, p[0..n) from scan.begin to scan.head_bytes.  The names
 * of header fields are made lower case in place; the request points into p.
 * Fields named perilune-* are the platform's and are left out.  After a fault
 * request.method is there if it was found, else empty.
 */
enum http_fault http_parse(struct http_head *head,
    const struct http_limits *limits, char *p, size_t n);

/* Ready for the next http_parse; keeps the memory. */
void http_head_reset(struct http_head *head);
void http_head_fini(struct http_head *head);

/* Fills target, path, query and authority; the method is known. */
enum http_fault http_parse_target(struct http_head *head, struct slice target);

/* HOST or HOST:PORT, RFC 9110, section 7.2; no user, no empty port. */
bool http_host_valid(struct slice host);

enum http_chunk_state {
	HTTP_CHUNK_SIZE,
	HTTP_CHUNK_EXT,
	HTTP_CHUNK_SIZE_LF,
	HTTP_CHUNK_DATA,
	HTTP_CHUNK_DATA_CR,
	HTTP_CHUNK_DATA_LF,
	HTTP_CHUNK_TRAILER,
	HTTP_CHUNK_TRAILER_NAME,
	HTTP_CHUNK_TRAILER_VALUE,
	HTTP_CHUNK_TRAILER_LF,
	HTTP_CHUNK_END_LF,
	HTTP_CHUNK_DONE,
};

/* Where a chunked body stands; starts as {0}. */
struct http_chunked {
	enum http_chunk_state state;
	unsigned int digits;
	uint64_t left;	   /* of the size being read, then of its data */
	uint64_t data;	   /* decoded so far */
	uint64_t overhead; /* everything else so far */
	uint64_t begun;	   /* overhead when this line began */
	uint64_t trailers; /* overhead when the trailers began */
	unsigned int name_bytes;
	char name[24]; /* begin of a trailer's name, lower case */
};

/*
 * Decode what is in p and add the data to body.  *used_out is how many bytes
 * were taken: all, unless state is HTTP_CHUNK_DONE or there was a fault.  A
 * chunk that would make the body longer than max_bytes is refused before its
 * data.
 */
enum http_fault http_chunked_take(struct http_chunked *chunked,
    struct slice bytes, uint64_t max_bytes, struct buf *body, size_t *used_out);
