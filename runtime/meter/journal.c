/*
 * journal.c - see journal.h.
 *
 * Runs in: gateway.
 * Owns:    the mapping; the order of waiting slots and the free ones, which
 *          are rebuilt at open.
 *
 * One thread writes.  The stores to a slot's state are ordered by the
 * compiler and the processor (release), so whoever maps the file later sees
 * "complete" only with all of the record.  Free slots are used last in, first
 * out: a quiet server dirties one page.
 */
#include "runtime/meter/journal.h"

#include "sandbox/base/cleanup.h"
#include "sandbox/base/err.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC	     "PLNJRNL"
#define VERSION	     2
#define HEADER_BYTES 4096
#define NEW_FILE     "journal.new"
#define SEQ_MAX	     ((uint64_t)1 << 62)

enum slot_state { SLOT_FREE, SLOT_WRITING = 0x57, SLOT_COMPLETE = 0x43 };

struct header {
	char magic[8];
	uint32_t version;
	uint32_t slots;
	uint32_t slot_bytes;
	uint32_t record_bytes;
	uint64_t maybe_lost; /* ever */
	uint64_t dropped;    /* by the gateway that has it open */
};

struct slot {
	_Atomic uint32_t state;
	uint32_t crc; /* of the record */
	struct record record;
};

struct journal {
	int fd;
	struct header *header; /* start of the mapping */
	struct slot *slots;
	uint32_t nslots;
	uint32_t *order; /* ring of the waiting slots, oldest first */
	uint32_t first;	 /* in order */
	uint32_t nwaiting;
	uint32_t *free; /* stack */
	uint32_t nfree;
};

/* CRC-32C (RFC 3720, appendix B.4), which x86 processors have had an
 * instruction for since 2008: a record is made for every request. */
static uint32_t crc_table[256];

static void
make_crc_table(void)
{
	for (uint32_t i = 0; i < 256; i++) {
		uint32_t crc = i;

		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
		crc_table[i] = crc;
	}
}

static uint32_t
crc_by_table(const unsigned char *p, size_t n)
{
	uint32_t crc = 0xffffffff;

	for (size_t i = 0; i < n; i++)
		crc = crc >> 8 ^ crc_table[(crc ^ p[i]) & 0xff];
	return ~crc;
}

#ifdef __x86_64__
__attribute__((target("sse4.2"))) static uint32_t
crc_by_instruction(const unsigned char *p, size_t n)
{
	uint64_t crc = 0xffffffff;

	for (; n >= sizeof(uint64_t); n -= sizeof(uint64_t)) {
		uint64_t word;

		memcpy(&word, p, sizeof(word));
		crc = __builtin_ia32_crc32di(crc, word);
		p += sizeof(word);
	}
	for (; n > 0; n--)
		crc = __builtin_ia32_crc32qi((uint32_t)crc, *p++);
	return ~(uint32_t)crc;
}
#endif

static uint32_t
crc_of(const struct record *record)
{
	const unsigned char *p = (const unsigned char *)record;

#ifdef __x86_64__
	if (__builtin_cpu_supports("sse4.2"))
		return crc_by_instruction(p, sizeof(*record));
#endif
	return crc_by_table(p, sizeof(*record));
}

static size_t
file_bytes(uint32_t slots)
{
	return HEADER_BYTES + (size_t)slots * sizeof(struct slot);
}

/* --- the file ----------------------------------------------------------- */

static bool
is_ours(int fd, uint32_t slots)
{
	struct header header;
	struct stat st;

	return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	    (size_t)st.st_size == file_bytes(slots) &&
	    pread(fd, &header, sizeof(header), 0) == sizeof(header) &&
	    memcmp(header.magic, MAGIC, sizeof(header.magic)) == 0 &&
	    header.version == VERSION && header.slots == slots &&
	    header.slot_bytes == sizeof(struct slot) &&
	    header.record_bytes == sizeof(struct record);
}

/*
 * A new one, complete before it gets its name.  All blocks are allocated: a
 * mapped page that finds no space on the disk would be a SIGBUS.
 */
static int
make_file(int dirfd, uint32_t slots, uint64_t maybe_lost, struct err *err)
{
	struct header header = {.magic = MAGIC,
	    .version = VERSION,
	    .slots = slots,
	    .slot_bytes = sizeof(struct slot),
	    .record_bytes = sizeof(struct record),
	    .maybe_lost = maybe_lost};
	auto_close int fd = -1;
	int failed;

	(void)unlinkat(dirfd, NEW_FILE, 0);
	fd = openat(dirfd, NEW_FILE,
	    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err,
		    "state directory: cannot make the "
		    "journal");
	failed = posix_fallocate(fd, 0, (off_t)file_bytes(slots));
	if (failed != 0) {
		(void)unlinkat(dirfd, NEW_FILE, 0);
		errno = failed;
		return err_sys(err,
		    "state directory: no room for the journal (%zu bytes)",
		    file_bytes(slots));
	}
	if (pwrite(fd, &header, sizeof(header), 0) != sizeof(header) ||
	    renameat(dirfd, NEW_FILE, dirfd, JOURNAL_FILE) < 0)
		return err_sys(err,
		    "state directory: cannot write the "
		    "journal");
	return 0;
}

static int
open_existing(int dirfd)
{
	return openat(dirfd, JOURNAL_FILE,
	    O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
}

/* errno after opening what is no regular file: symlink, directory, FIFO. */
static bool
is_odd(int error)
{
	return error == ELOOP || error == EISDIR || error == ENXIO;
}

/* Whatever else has the name goes aside: nothing of it is thrown away. */
static int
open_file(int dirfd, uint32_t slots, int *fd_out, bool *bad_out,
    struct err *err)
{
	auto_close int fd = open_existing(dirfd);

	*bad_out = false;
	if (fd < 0 && errno != ENOENT && !is_odd(errno))
		return err_sys(err,
		    "state directory: cannot open the "
		    "journal");
	if (fd < 0 ? errno != ENOENT : !is_ours(fd, slots)) {
		if (renameat(dirfd, JOURNAL_FILE, dirfd, JOURNAL_BAD) < 0)
			return err_sys(err,
			    "the journal is none of ours and can't be renamed "
			    "to " JOURNAL_BAD);
		*bad_out = true;
	}
	if (fd < 0 || *bad_out) {
		cleanup_close(&fd);
		fd = -1;
		if (make_file(dirfd, slots, *bad_out, err) < 0)
			return -1;
		fd = open_existing(dirfd);
		if (fd < 0)
			return err_sys(err, "journal");
	}
	if (flock(fd, LOCK_EX | LOCK_NB) < 0)
		return err_sys(err, "journal: in use by another process");
	*fd_out = steal_fd(&fd);
	return 0;
}

/* --- what is in it ------------------------------------------------------ */

static bool
ends(const char *text, size_t n)
{
	return memchr(text, '\0', n) != NULL;
}

static bool
is_sound(const struct slot *slot)
{
	const struct record *record = &slot->record;

	return slot->crc == crc_of(record) && record->seq > 0 &&
	    record->seq <= SEQ_MAX &&
	    ends(record->function, sizeof(record->function)) &&
	    ends(record->request_id, sizeof(record->request_id)) &&
	    ends(record->reason, sizeof(record->reason));
}

static void
set_state(struct slot *slot, enum slot_state state)
{
	atomic_store_explicit(&slot->state, state, memory_order_release);
}

static int
by_seq(const void *a, const void *b, void *arg)
{
	const struct slot *slots = arg;
	uint64_t left = slots[*(const uint32_t *)a].record.seq;
	uint64_t right = slots[*(const uint32_t *)b].record.seq;

	return (left > right) - (left < right);
}

/* From the highest index down, so that the lowest is used first. */
static void
scan(struct journal *journal, struct journal_found *found)
{
	for (uint32_t i = journal->nslots; i-- > 0;) {
		struct slot *slot = &journal->slots[i];
		uint32_t state =
		    atomic_load_explicit(&slot->state, memory_order_acquire);

		if (state == SLOT_COMPLETE && is_sound(slot)) {
			journal->order[journal->nwaiting++] = i;
			if (slot->record.seq > found->last_seq)
				found->last_seq = slot->record.seq;
			continue;
		}
		found->lost += state != SLOT_FREE;
		set_state(slot, SLOT_FREE);
		journal->free[journal->nfree++] = i;
	}
	found->recovered = journal->nwaiting;
	qsort_r(journal->order, journal->nwaiting, sizeof(journal->order[0]),
	    by_seq, journal->slots);
}

static void
count_losses(struct journal *journal, struct journal_found *found)
{
	struct header *header = journal->header;

	found->lost += header->dropped;
	header->maybe_lost += found->lost;
	header->dropped = 0;
}

struct journal *
journal_open(int dirfd, uint32_t slots, struct journal_found *found_out,
    struct err *err)
{
	struct journal *journal = calloc(1, sizeof(*journal));
	void *map;

	assert(slots > 0);
	if (journal == NULL)
		abort();
	make_crc_table();
	*found_out = (struct journal_found){0};
	journal->fd = -1;
	journal->nslots = slots;
	journal->order = calloc(slots, sizeof(journal->order[0]));
	journal->free = calloc(slots, sizeof(journal->free[0]));
	if (journal->order == NULL || journal->free == NULL)
		abort();
	if (open_file(dirfd, slots, &journal->fd, &found_out->bad, err) < 0) {
		journal_close(journal);
		return NULL;
	}
	map = mmap(NULL, file_bytes(slots), PROT_READ | PROT_WRITE, MAP_SHARED,
	    journal->fd, 0);
	if (map == MAP_FAILED) {
		(void)err_sys(err, "journal: mmap");
		journal_close(journal);
		return NULL;
	}
	journal->header = map;
	journal->slots = (struct slot *)(void *)((char *)map + HEADER_BYTES);
	scan(journal, found_out);
	count_losses(journal, found_out);
	/* What was looked at need not stay in our memory. */
	(void)madvise(map, file_bytes(slots), MADV_DONTNEED);
	return journal;
}

bool
journal_append(struct journal *journal, const struct record *record)
{
	uint32_t last = journal->first + journal->nwaiting;
	struct slot *slot;
	uint32_t i;

	if (journal->nfree == 0) {
		journal->header->dropped++;
		return false;
	}
	i = journal->free[--journal->nfree];
	slot = &journal->slots[i];
	set_state(slot, SLOT_WRITING);
	/* "writing" must be there before any byte of the record. */
	atomic_thread_fence(memory_order_seq_cst);
	slot->record = *record;
	slot->crc = crc_of(&slot->record);
	set_state(slot, SLOT_COMPLETE);
	journal->order[last % journal->nslots] = i;
	journal->nwaiting++;
	return true;
}

size_t
journal_waiting(const struct journal *journal)
{
	return journal->nwaiting;
}

const struct record *
journal_peek(const struct journal *journal, size_t i)
{
	assert(i < journal->nwaiting);
	i = (journal->first + i) % journal->nslots;
	return &journal->slots[journal->order[i]].record;
}

void
journal_release(struct journal *journal, size_t n)
{
	assert(n <= journal->nwaiting);
	for (; n > 0; n--) {
		uint32_t i = journal->order[journal->first];

		set_state(&journal->slots[i], SLOT_FREE);
		journal->free[journal->nfree++] = i;
		journal->first = (journal->first + 1) % journal->nslots;
		journal->nwaiting--;
	}
}

uint64_t
journal_maybe_lost(const struct journal *journal)
{
	return journal->header->maybe_lost;
}

uint64_t
journal_dropped(const struct journal *journal)
{
	return journal->header->dropped;
}

void
journal_close(struct journal *journal)
{
	if (journal == NULL)
		return;
	if (journal->header != NULL)
		(void)munmap(journal->header, file_bytes(journal->nslots));
	if (journal->fd >= 0)
		(void)close(journal->fd);
	free(journal->order);
	free(journal->free);
	free(journal);
}
