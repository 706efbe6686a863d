/*
 * copy.c - memcpy of so many bytes: what it costs at least to restore a heap.
 *
 * Runs in: tests.
 *
 * usage: copy ROUNDS BYTES
 */
#include "tests/bench/floor/floor.h"

#include <string.h>

int
main(int argc, char **argv)
{
	size_t rounds = floor_count(argc, argv, 1, 10000);
	size_t bytes = floor_count(argc, argv, 2, 20480);
	double *us = floor_samples(rounds);
	char *from = malloc(bytes), *to = malloc(bytes);

	if (from == NULL || to == NULL)
		floor_die("malloc");
	memset(from, 1, bytes);
	memset(to, 2, bytes);
	for (size_t i = 0; i < rounds; i++) {
		double begin = floor_us();

		memcpy(to, from, bytes);
		__asm__ volatile("" : : "r"(to) : "memory");
		us[i] = floor_us() - begin;
	}
	floor_show(us, rounds);
	free(from);
	free(to);
	free(us);
	return 0;
}
