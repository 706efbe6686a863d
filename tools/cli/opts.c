/*
 * opts.c - see opts.h.
 *
 * Runs in: cli.
 */
#include "tools/cli/opts.h"

#include "sandbox/base/bytes.h"
#include "tools/cli/cli.h"
#include "tools/cli/term.h"

#include <inttypes.h>
#include <stdlib.h>

#define WORD_MAX 32 /* longer words have no hint */
#define OPTS_MAX 32

struct parse {
	const struct opt *opts;
	size_t nopts;
	const char *command;
	int argc;
	char **argv;
	int at; /* the argument that is looked at */
};

static size_t
smallest(size_t a, size_t b, size_t c)
{
	size_t least = a < b ? a : b;

	return least < c ? least : c;
}

/* Letters to insert, remove, replace or swap (optimal string alignment). */
static size_t
edits(const char *a, const char *b)
{
	size_t d[WORD_MAX + 1][WORD_MAX + 1];
	size_t na = strlen(a), nb = strlen(b);

	if (na > WORD_MAX || nb > WORD_MAX)
		return SIZE_MAX;
	for (size_t i = 0; i <= na; i++)
		d[i][0] = i;
	for (size_t j = 0; j <= nb; j++)
		d[0][j] = j;
	for (size_t i = 1; i <= na; i++) {
		for (size_t j = 1; j <= nb; j++) {
			d[i][j] = smallest(d[i - 1][j] + 1, d[i][j - 1] + 1,
			    d[i - 1][j - 1] + (a[i - 1] != b[j - 1]));
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1] &&
			    d[i - 2][j - 2] + 1 < d[i][j])
				d[i][j] = d[i - 2][j - 2] + 1;
		}
	}
	return d[na][nb];
}

const char *
opts_nearest(const char *word, const char *const *words, size_t n)
{
	size_t len = strlen(word);
	size_t best = len / 3 + 2;
	const char *found = NULL;

	if (len < 2)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		size_t distance = edits(word, words[i]);

		if (strncmp(words[i], word, len) == 0)
			distance = 1;
		if (distance < best && distance < strlen(words[i])) {
			best = distance;
			found = words[i];
		}
	}
	return found;
}

static int
see_help(const struct parse *parse)
{
	term_printf(stderr, TERM_PLAIN, "  see: perilune %s --help\n",
	    parse->command);
	return CLI_USAGE;
}

static int
unknown(const struct parse *parse, const char *given)
{
	size_t len = strcspn(given, "=");
	char *word = slice_dup(slice_from(given, len));
	const char *names[OPTS_MAX];
	const char *near = NULL;
	size_t n = 0;

	for (size_t i = 0; i < parse->nopts && n < OPTS_MAX; i++)
		if (parse->opts[i].name != NULL)
			names[n++] = parse->opts[i].name;
	if (strncmp(word, "--", 2) == 0)
		near = opts_nearest(word + 2, names, n);
	term_error("%s: unknown option %s", parse->command, word);
	free(word);
	if (near != NULL)
		term_printf(stderr, TERM_PLAIN, "  did you mean --%s?\n", near);
	return see_help(parse);
}

static const struct opt *
find_name(const struct parse *parse, const char *name, size_t n)
{
	for (size_t i = 0; i < parse->nopts; i++) {
		const char *candidate = parse->opts[i].name;

		if (candidate != NULL && strlen(candidate) == n &&
		    memcmp(candidate, name, n) == 0)
			return &parse->opts[i];
	}
	return NULL;
}

static const struct opt *
find_letter(const struct parse *parse, char letter)
{
	for (size_t i = 0; i < parse->nopts; i++)
		if (parse->opts[i].letter == letter)
			return &parse->opts[i];
	return NULL;
}

/* "--state" or "-n", as it is called in messages. */
static const char *
called(const struct opt *opt, char text[WORD_MAX])
{
	if (opt->name != NULL)
		(void)snprintf(text, WORD_MAX, "--%s", opt->name);
	else
		(void)snprintf(text, WORD_MAX, "-%c", opt->letter);
	return text;
}

static int
set_number(const struct parse *parse, const struct opt *opt, const char *value)
{
	char name[WORD_MAX];
	uint64_t number;

	if (slice_u64(slice_of(value), opt->max, &number) &&
	    number >= opt->min) {
		*(uint64_t *)opt->out = number;
		return 0;
	}
	term_error("%s: %s must be a number from %" PRIu64 " to %" PRIu64
		   ", not \"%s\"",
	    parse->command, called(opt, name), opt->min, opt->max, value);
	return see_help(parse);
}

/* value NULL: it is the next argument. */
static int
set(struct parse *parse, const struct opt *opt, const char *value)
{
	char name[WORD_MAX];

	if (opt->type == OPT_FLAG) {
		if (value != NULL) {
			term_error("%s: %s takes no value", parse->command,
			    called(opt, name));
			return see_help(parse);
		}
		*(bool *)opt->out = true;
		return 0;
	}
	if (value == NULL && parse->at + 1 >= parse->argc) {
		term_error("%s: %s needs a value", parse->command,
		    called(opt, name));
		return see_help(parse);
	}
	if (value == NULL)
		value = parse->argv[++parse->at];
	if (opt->type == OPT_NUMBER)
		return set_number(parse, opt, value);
	*(const char **)opt->out = value;
	return 0;
}

static int
parse_long(struct parse *parse, const char *given)
{
	size_t n = strcspn(given + 2, "=");
	const struct opt *opt = find_name(parse, given + 2, n);

	if (opt == NULL)
		return unknown(parse, given);
	return set(parse, opt, given[2 + n] == '=' ? given + 3 + n : NULL);
}

static int
parse_letters(struct parse *parse, const char *given)
{
	for (const char *p = given + 1; *p != '\0'; p++) {
		const struct opt *opt = find_letter(parse, *p);
		int rc;

		if (opt == NULL)
			return unknown(parse, given);
		if (opt->type != OPT_FLAG)
			return set(parse, opt, p[1] != '\0' ? p + 1 : NULL);
		rc = set(parse, opt, NULL);
		if (rc != 0)
			return rc;
	}
	return 0;
}

static int
check_operands(const struct parse *parse, int n, int min, int max,
    const char *operands)
{
	if (n < min) {
		term_error("%s: %s is missing", parse->command, operands);
		return see_help(parse);
	}
	if (n > max) {
		term_error("%s: one argument too many: \"%s\"", parse->command,
		    parse->argv[max + 1]);
		return see_help(parse);
	}
	return 0;
}

int
opts_parse(const struct opt *opts, size_t nopts, int *argc, char **argv,
    int min_operands, int max_operands, const char *operands)
{
	struct parse parse = {opts, nopts, argv[0], *argc, argv, 1};
	bool ended = false;
	int kept = 1;

	for (; parse.at < parse.argc; parse.at++) {
		char *given = argv[parse.at];
		int rc = 0;

		if (ended || given[0] != '-' || given[1] == '\0')
			argv[kept++] = given;
		else if (strcmp(given, "--") == 0)
			ended = true;
		else if (given[1] == '-')
			rc = parse_long(&parse, given);
		else
			rc = parse_letters(&parse, given);
		if (rc != 0)
			return rc;
	}
	*argc = kept;
	return check_operands(&parse, kept - 1, min_operands, max_operands,
	    operands);
}
