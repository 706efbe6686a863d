/*
 * opts.h - command-line options, from one table per command.
 *
 * Runs in: cli.
 * Owns:    nothing; values point into argv.
 *
 * "--name VALUE", "--name=VALUE", "-n VALUE", "-nVALUE", "-lf" (flags), in any
 * order with the operands; "--" ends the options.  What is wrong is said on
 * stderr with a hint, once.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum opt_type {
	OPT_FLAG,   /* out: bool * */
	OPT_TEXT,   /* out: const char ** */
	OPT_NUMBER, /* out: uint64_t *, within min and max */
};

struct opt {
	const char *name; /* without "--"; NULL: only a letter */
	char letter;	  /* 0: none */
	enum opt_type type;
	void *out; /* left alone when the option is not given */
	uint64_t min, max;
};

#define OPTS(array) (array), sizeof(array) / sizeof((array)[0])

/*
 * Parse argv[1..]; afterwards argv[1..*argc - 1] are the operands, of which
 * there must be min to max.  operands names them in messages ("NAME").
 * Returns 0, or CLI_USAGE after saying why.
 */
int opts_parse(const struct opt *opts, size_t nopts, int *argc, char **argv,
    int min_operands, int max_operands, const char *operands);

/*
 * The one of n words that was probably meant by `word`, or NULL: the nearest
 * by edits (at most a third of its letters wrong), or the one it begins.
 */
const char *opts_nearest(const char *word, const char *const *words, size_t n);
