/*
 * floor.h - what the floor programs share: a clock, samples, the last line.
 *
 * Each program prints "P50 P99" in microseconds and exits 0, or says what
 * failed and exits 1.
 *
 * Runs in: tests.
 */
#ifndef TESTS_BENCH_FLOOR_FLOOR_H
#define TESTS_BENCH_FLOOR_FLOOR_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define FLOOR_MAX_COUNT 10000000

static inline void
floor_die(const char *what)
{
	perror(what);
	exit(1);
}

static inline double
floor_us(void)
{
	struct timespec now;

	(void)clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

/* The number in argv[i], or otherwise. */
static inline size_t
floor_count(int argc, char **argv, int i, size_t otherwise)
{
	unsigned long n = argc > i ? strtoul(argv[i], NULL, 10) : otherwise;

	return n == 0 || n > FLOOR_MAX_COUNT ? otherwise : n;
}

/* n samples, touched in advance; the caller frees them. */
static inline double *
floor_samples(size_t n)
{
	double *us = malloc(n * sizeof(*us));

	if (us == NULL)
		floor_die("malloc");
	for (size_t i = 0; i < n; i++)
		us[i] = -1;
	return us;
}

static inline int
floor_compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static inline void
floor_show(double *us, size_t n)
{
	qsort(us, n, sizeof(*us), floor_compare);
	(void)printf("%.3f %.3f\n", us[n / 2], us[n * 99 / 100]);
}

#endif
