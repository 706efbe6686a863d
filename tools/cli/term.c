/*
 * term.c - see term.h.
 *
 * Runs in: cli.
 */
#include "tools/cli/term.h"

#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <wchar.h>

static const char *const colour_codes[] = {
    [TERM_PLAIN] = "",
    [TERM_BOLD] = "\x1b[1m",
    [TERM_DIM] = "\x1b[2m",
    [TERM_RED] = "\x1b[31m",
    [TERM_GREEN] = "\x1b[32m",
    [TERM_YELLOW] = "\x1b[33m",
};

void
term_init(void)
{
	(void)setlocale(LC_CTYPE, "");
}

bool
term_utf8(void)
{
	return strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
}

/* https://no-color.org: set and not empty. */
bool
term_colours(FILE *f)
{
	const char *no_color = getenv("NO_COLOR");
	const char *term = getenv("TERM");

	if (no_color != NULL && no_color[0] != '\0')
		return false;
	if (term != NULL && strcmp(term, "dumb") == 0)
		return false;
	return isatty(fileno(f)) == 1;
}

/*
 * The code point at p, and how many bytes it takes; 0 when it is not UTF-8
 * (RFC 3629, section 4).
 */
static size_t
decode(const unsigned char *p, size_t n, uint32_t *code_out)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t want = p[0] < 0x80 ? 1
	    : p[0] < 0xc2	  ? 0
	    : p[0] < 0xe0	  ? 2
	    : p[0] < 0xf0	  ? 3
	    : p[0] < 0xf5	  ? 4
				  : 0;
	uint32_t code;

	if (want == 0 || want > n)
		return 0;
	code = want == 1 ? p[0] : p[0] & (0x7fu >> want);
	for (size_t i = 1; i < want; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (p[i] & 0x3fu);
	}
	if (code < least[want] || (code >= 0xd800 && code < 0xe000) ||
	    code > 0x10ffff)
		return 0;
	*code_out = code;
	return want;
}

/* Characters that move the cursor, turn the direction or hide themselves. */
static bool
harmful(uint32_t code)
{
	return code < 0x20 || (code >= 0x7f && code <= 0x9f) ||
	    code == 0x061c || (code >= 0x200b && code <= 0x200f) ||
	    (code >= 0x2028 && code <= 0x202e) ||
	    (code >= 0x2060 && code <= 0x206f) || code == 0xfeff ||
	    (code >= 0xfff9 && code <= 0xfffb) ||
	    (code >= 0xe0000 && code <= 0xe007f);
}

static void
escape(struct buf *out, uint32_t code)
{
	if (code == '\n')
		buf_puts(out, "\\n");
	else if (code == '\t')
		buf_puts(out, "\\t");
	else if (code == '\r')
		buf_puts(out, "\\r");
	else
		buf_addf(out, code < 0x100 ? "\\x%02x" : "\\u%04x", code);
}

/*
 * On a terminal that is not UTF-8 single bytes above 0x7f may be control
 * characters (0x9b is CSI in ISO 8859): only ASCII goes there.
 */
void
term_clean(struct buf *out, struct slice s, enum term_lines lines)
{
	const unsigned char *p = (const unsigned char *)s.p;
	bool ascii = !term_utf8() &&
	    (isatty(STDOUT_FILENO) == 1 || isatty(STDERR_FILENO) == 1);

	for (size_t i = 0; i < s.n;) {
		uint32_t code = 0;
		size_t n = decode(p + i, s.n - i, &code);
		bool kept =
		    lines == TERM_LINES && (code == '\n' || code == '\t');

		if (n == 0)
			buf_addf(out, "\\x%02x", p[i]);
		else if ((harmful(code) && !kept) || (ascii && code > 0x7e))
			escape(out, code);
		else
			buf_add(out, p + i, n);
		i += n == 0 ? 1 : n;
	}
}

size_t
term_width(struct slice s)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t width = 0;

	for (size_t i = 0; i < s.n;) {
		uint32_t code = 0;
		size_t n = decode(p + i, s.n - i, &code);
		int columns = n > 1 ? wcwidth((wchar_t)code) : 1;

		width += columns >= 0 ? (size_t)columns : 1;
		i += n == 0 ? 1 : n;
	}
	return width;
}

void
term_put(FILE *f, enum term_colour colour, enum term_lines lines,
    struct slice s)
{
	bool coloured = colour != TERM_PLAIN && term_colours(f);
	struct buf clean = {0};

	term_clean(&clean, s, lines);
	if (coloured)
		(void)fputs(colour_codes[colour], f);
	(void)fwrite(clean.p, 1, clean.n, f);
	if (coloured)
		(void)fputs("\x1b[0m", f);
	buf_fini(&clean);
}

static void
add_format(struct buf *out, const char *fmt, va_list ap)
{
	va_list again;
	int n;

	va_copy(again, ap);
	n = vsnprintf(NULL, 0, fmt, again);
	va_end(again);
	if (n <= 0)
		return;
	(void)vsnprintf(buf_room(out, (size_t)n + 1), (size_t)n + 1, fmt, ap);
	out->n += (size_t)n;
}

void
term_printf(FILE *f, enum term_colour colour, const char *fmt, ...)
{
	struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	add_format(&text, fmt, ap);
	va_end(ap);
	term_put(f, colour, TERM_LINES, buf_slice(&text));
	buf_fini(&text);
}

void
term_error(const char *fmt, ...)
{
	struct buf text = {0};
	va_list ap;

	(void)fflush(stdout);
	va_start(ap, fmt);
	add_format(&text, fmt, ap);
	va_end(ap);
	term_put(stderr, TERM_RED, TERM_LINES, SLICE("perilune:"));
	(void)fputc(' ', stderr);
	term_put(stderr, TERM_PLAIN, TERM_LINES, buf_slice(&text));
	(void)fputc('\n', stderr);
	buf_fini(&text);
}

#define COLUMNS_MAX 24

struct cell {
	char *text;
	size_t width;
	enum term_colour colour;
	bool note; /* a line of its own, in no column */
};

struct table {
	char *head[COLUMNS_MAX];
	bool right[COLUMNS_MAX];
	size_t ncolumns;
	struct cell *cells;
	size_t ncells, cap;
};

struct table *
term_table_new(const char *heads)
{
	struct table *table = calloc(1, sizeof(*table));

	if (table == NULL)
		abort();
	for (;;) {
		size_t n = strcspn(heads, "|");
		size_t column = table->ncolumns++;

		if (table->ncolumns > COLUMNS_MAX)
			abort();
		table->right[column] = heads[0] == '>';
		if (table->right[column]) {
			heads++;
			n--;
		}
		table->head[column] = slice_dup(slice_from(heads, n));
		if (heads[n] == '\0')
			return table;
		heads += n + 1;
	}
}

static void
add_cell(struct table *table, enum term_colour colour, bool note,
    struct buf *text)
{
	struct buf clean = {0};
	struct cell *cell;

	term_clean(&clean, buf_slice(text), TERM_ONE_LINE);
	buf_fini(text);
	if (table->ncells == table->cap) {
		table->cap = table->cap == 0 ? 64 : table->cap * 2;
		table->cells =
		    realloc(table->cells, table->cap * sizeof(*table->cells));
		if (table->cells == NULL)
			abort();
	}
	cell = &table->cells[table->ncells++];
	*cell = (struct cell){
	    .width = term_width(buf_slice(&clean)),
	    .colour = colour,
	    .note = note,
	};
	cell->text = buf_steal(&clean, NULL);
}

void
term_table_add(struct table *table, enum term_colour colour, const char *fmt,
    ...)
{
	struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	add_format(&text, fmt, ap);
	va_end(ap);
	add_cell(table, colour, false, &text);
}

void
term_table_note(struct table *table, enum term_colour colour, const char *fmt,
    ...)
{
	struct buf text = {0};
	va_list ap;

	va_start(ap, fmt);
	add_format(&text, fmt, ap);
	va_end(ap);
	add_cell(table, colour, true, &text);
}

static void
measure(const struct table *table, size_t widths[COLUMNS_MAX])
{
	size_t column = 0;

	for (size_t i = 0; i < table->ncolumns; i++)
		widths[i] = strlen(table->head[i]);
	for (size_t i = 0; i < table->ncells; i++) {
		const struct cell *cell = &table->cells[i];

		if (cell->note)
			continue;
		/* NOLINTNEXTLINE(clang-analyzer-core.UndefinedBinaryOperatorResult) */
		if (cell->width > widths[column])
			widths[column] = cell->width;
		column = (column + 1) % table->ncolumns;
	}
}

static void
pad(FILE *f, size_t n)
{
	while (n-- > 0)
		(void)fputc(' ', f);
}

/* The last column is not padded: no spaces at the end of a line. */
static void
put_cell(const struct table *table, const size_t *widths, size_t column,
    const struct cell *cell, FILE *f)
{
	bool last = column + 1 == table->ncolumns;
	size_t room = widths[column] - cell->width;

	if (table->right[column])
		pad(f, room);
	term_put(f, cell->colour, TERM_ONE_LINE, slice_of(cell->text));
	if (last) {
		(void)fputc('\n', f);
		return;
	}
	pad(f, (table->right[column] ? 0 : room) + 2);
}

static void
put_head(const struct table *table, const size_t *widths, FILE *f)
{
	size_t letters = 0;

	for (size_t i = 0; i < table->ncolumns; i++)
		letters += strlen(table->head[i]);
	if (letters == 0)
		return;
	for (size_t i = 0; i < table->ncolumns; i++) {
		struct cell cell = {table->head[i], strlen(table->head[i]),
		    TERM_BOLD, false};

		put_cell(table, widths, i, &cell, f);
	}
}

void
term_table_print(const struct table *table, FILE *f)
{
	size_t widths[COLUMNS_MAX];
	size_t column = 0;

	measure(table, widths);
	put_head(table, widths, f);
	for (size_t i = 0; i < table->ncells; i++) {
		const struct cell *cell = &table->cells[i];

		if (cell->note) {
			(void)fputs("  ", f);
			term_put(f, cell->colour, TERM_ONE_LINE,
			    slice_of(cell->text));
			(void)fputc('\n', f);
			continue;
		}
		put_cell(table, widths, column, cell, f);
		column = (column + 1) % table->ncolumns;
	}
}

void
term_table_free(struct table *table)
{
	if (table == NULL)
		return;
	for (size_t i = 0; i < table->ncolumns; i++)
		free(table->head[i]);
	for (size_t i = 0; i < table->ncells; i++)
		free(table->cells[i].text);
	free(table->cells);
	free(table);
}
