/*
 * replay.c - run a fuzz target over a folder of inputs, without a fuzzer.
 *
 * Runs in: tests.
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static int
replay_file(const char *folder, const char *name)
{
	char path[4096];
	uint8_t *data;
	FILE *file;
	long size;

	(void)snprintf(path, sizeof(path), "%s/%s", folder, name);
	file = fopen(path, "rb");
	if (file == NULL || fseek(file, 0, SEEK_END) != 0 ||
	    (size = ftell(file)) < 0 || fseek(file, 0, SEEK_SET) != 0) {
		perror(path);
		exit(1);
	}
	data = malloc((size_t)size + 1);
	if (data == NULL ||
	    fread(data, 1, (size_t)size, file) != (size_t)size) {
		perror(path);
		exit(1);
	}
	(void)fclose(file);
	(void)LLVMFuzzerTestOneInput(data, (size_t)size);
	free(data);
	return 1;
}

int
main(int argc, char **argv)
{
	struct dirent *entry;
	int ran = 0;
	DIR *dir;

	if (argc != 2 || (dir = opendir(argv[1])) == NULL) {
		perror(argc == 2 ? argv[1] : "usage: replay FOLDER");
		return 1;
	}
	while ((entry = readdir(dir)) != NULL)
		if (entry->d_name[0] != '.')
			ran += replay_file(argv[1], entry->d_name);
	(void)closedir(dir);
	printf("%d inputs\n", ran);
	return ran == 0;
}
