/*
 * cli_only.c - the client commands as a program, for tests/cli.
 *
 * Runs in: tests.
 */
#include "tools/cli/cli.h"

int
main(int argc, char **argv)
{
	return cli_main(argc, argv);
}
