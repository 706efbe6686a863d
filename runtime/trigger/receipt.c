/*
 * receipt.c - see receipt.h.
 *
 * Runs in: gateway.
 */
#include "runtime/trigger/receipt.h"

/* Text that is known to fit, put together without printf: this is done for
 * every response. */
struct text {
	char *p;
	size_t n;
};

static void
put(struct text *text, struct slice s)
{
	memcpy(text->p + text->n, s.p, s.n);
	text->n += s.n;
}

static void
put_number(struct text *text, uint64_t value)
{
	text->n += u64_text(text->p + text->n, value);
}

static struct slice
ended(struct text *text)
{
	text->p[text->n] = '\0';
	return slice_from(text->p, text->n);
}

/* In milliseconds, with three decimals. */
static void
put_phase(struct text *text, struct slice name, uint64_t us)
{
	unsigned int rest = (unsigned int)(us % 1000);
	char decimals[4] = {'.', (char)('0' + rest / 100),
	    (char)('0' + rest / 10 % 10), (char)('0' + rest % 10)};

	put(text, name);
	put(text, SLICE(";dur="));
	put_number(text, us / 1000);
	put(text, slice_from(decimals, sizeof(decimals)));
}

static struct http_header
timing(struct receipt *receipt, const struct record *record)
{
	struct text text = {receipt->timing, 0};

	put_phase(&text, SLICE("queue"), record->queue_us);
	put_phase(&text, SLICE(", start"),
	    record->spawn_us + record->jail_us + record->load_us);
	put_phase(&text, SLICE(", init"), record->init_us);
	put_phase(&text, SLICE(", handler"), record->handler_us);
	return (struct http_header){SLICE("Server-Timing"), ended(&text)};
}

static struct http_header
start(struct receipt *receipt, const struct record *record)
{
	struct text text = {receipt->start, 0};

	put(&text, slice_of(record_kind_name(record->kind)));
	if (record->kind != RECORD_KIND_WARM) {
		put(&text, SLICE("; cause="));
		put(&text, slice_of(record_cause_name(record->cause)));
	}
	return (struct http_header){SLICE("Perilune-Start"), ended(&text)};
}

static struct http_header
number(struct slice name, char *memory, uint64_t value)
{
	struct text text = {memory, 0};

	put_number(&text, value);
	return (struct http_header){name, ended(&text)};
}

size_t
receipt_make(struct receipt *receipt, const struct record *record,
    struct http_header *headers)
{
	size_t n = 0;

	headers[n++] = timing(receipt, record);
	if (record->kind != RECORD_KIND_NONE)
		headers[n++] = start(receipt, record);
	headers[n++] = number(SLICE("Perilune-Billed-Ms"), receipt->billed,
	    record->billed_ms);
	headers[n++] =
	    number(SLICE("Perilune-Peak-Kb"), receipt->peak, record->peak_kb);
	return n;
}

/* "hello.lua:7" out of the first Lua line of a traceback. */
static struct slice
running_line(struct slice traceback)
{
	const char *mark = traceback.n == 0
	    ? NULL
	    : memmem(traceback.p, traceback.n, ".lua:", 5);
	const char *begin = mark;
	const char *end;

	if (mark == NULL)
		return (struct slice){0};
	while (begin > traceback.p && begin[-1] != '\t' && begin[-1] != '\n' &&
	    begin[-1] != ' ')
		begin--;
	end = mark + 5;
	while (end < traceback.p + traceback.n && *end >= '0' && *end <= '9')
		end++;
	return slice_from(begin, (size_t)(end - begin));
}

void
receipt_detail(struct buf *out, const struct call_result *result, bool dev)
{
	const struct record *record = result->record;
	struct slice line = running_line(result->traceback);

	if (record->failed_by != RECORD_FAILED_HANDLER || dev)
		buf_add_slice(out, result->message);
	else if (record->status == 500)
		buf_puts(out,
		    "the function raised an error; its log says which");
	else
		buf_puts(out,
		    "the function's response cannot be sent; its log says why");
	if (record->outcome == RECORD_OUTCOME_TIMEOUT && line.n > 0) {
		buf_puts(out, "; it was running ");
		buf_add_slice(out, line);
	}
	if (dev && result->traceback.n > 0) {
		buf_putc(out, '\n');
		buf_add_slice(out, result->traceback);
	}
	buf_putc(out, '\0');
}
