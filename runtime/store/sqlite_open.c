/*
 * sqlite_open.c - opening the database: lock, file, checks, schema.
 *
 * Runs in: gateway.
 * Owns:    see sqlite_priv.h.
 *
 * The folder that the database is in may not be reachable by its path: when
 * started as root, the gateway's current directory was set before it became
 * nobody.  SQLite turns every name into an absolute one first, so it gets a
 * VFS of its own that leaves names alone.
 */
#include "runtime/store/sqlite_priv.h"

#include "sandbox/base/cleanup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define VFS_NAME	"perilune"
#define LOCK_FILE	"lock"
#define APPLICATION_ID	0x50726c6e /* "Prln", in the header of the file */
#define CHECK_MAX_BYTES (64 << 20) /* larger: no check of every page at start */

/*
 * Step n brings the schema from version n to n + 1.  Steps are history: a new
 * wish is a new step.
 */
static const char *const migrations[] = {
    "CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL)"
    "  WITHOUT ROWID;"
    "CREATE TABLE records("
    "  seq INTEGER PRIMARY KEY,"
    "  function TEXT NOT NULL, request_id TEXT NOT NULL,"
    "  reason TEXT NOT NULL, mb_ms INTEGER NOT NULL,"
    "  wall_ms INTEGER NOT NULL, queue_us INTEGER NOT NULL,"
    "  spawn_us INTEGER NOT NULL, jail_us INTEGER NOT NULL,"
    "  load_us INTEGER NOT NULL, init_us INTEGER NOT NULL,"
    "  handler_us INTEGER NOT NULL, first_us INTEGER NOT NULL,"
    "  cpu_us INTEGER NOT NULL, peak_kb INTEGER NOT NULL,"
    "  bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,"
    "  billed_ms INTEGER NOT NULL, cost_pico INTEGER NOT NULL,"
    "  version INTEGER NOT NULL, memory_mb INTEGER NOT NULL,"
    "  attempt INTEGER NOT NULL, status INTEGER NOT NULL,"
    "  source INTEGER NOT NULL, kind INTEGER NOT NULL,"
    "  cause INTEGER NOT NULL, outcome INTEGER NOT NULL,"
    "  failed_by INTEGER NOT NULL);"
    "CREATE INDEX records_wall ON records(wall_ms);"
    "CREATE TABLE daily("
    "  function TEXT NOT NULL, day_ms INTEGER NOT NULL,"
    "  invocations INTEGER NOT NULL, errors INTEGER NOT NULL,"
    "  cold INTEGER NOT NULL, billed_ms INTEGER NOT NULL,"
    "  mb_ms INTEGER NOT NULL, cpu_us INTEGER NOT NULL,"
    "  bytes_in INTEGER NOT NULL, bytes_out INTEGER NOT NULL,"
    "  cost_pico INTEGER NOT NULL,"
    "  PRIMARY KEY(function, day_ms)) WITHOUT ROWID;"
    "CREATE TABLE versions("
    "  name TEXT NOT NULL, number INTEGER NOT NULL, hash TEXT NOT NULL,"
    "  PRIMARY KEY(name, number)) WITHOUT ROWID;"
    "CREATE TABLE events("
    "  id INTEGER PRIMARY KEY AUTOINCREMENT,"
    "  key BLOB NOT NULL UNIQUE, function TEXT NOT NULL,"
    "  source TEXT NOT NULL, event BLOB NOT NULL, note BLOB NOT NULL,"
    "  error BLOB NOT NULL, blob BLOB NOT NULL, state INTEGER NOT NULL,"
    "  attempts INTEGER NOT NULL, accepted_ms INTEGER NOT NULL,"
    "  run_at_ms INTEGER NOT NULL, finished_ms INTEGER NOT NULL,"
    "  bytes INTEGER NOT NULL);"
    "CREATE INDEX events_unfinished ON events(id) WHERE state < 2;"
    "CREATE INDEX events_function ON events(function, id);",
};
#define SCHEMA_VERSION ((int)(sizeof(migrations) / sizeof(migrations[0])))

/* The events_unfinished index has these numbers in it. */
_Static_assert(STORE_EVENT_ACCEPTED == 0 && STORE_EVENT_RUNNING == 1 &&
	STORE_EVENT_DONE == 2 && STORE_EVENT_FAILED == 3,
    "event states are stored by number");

/* --- errors ------------------------------------------------------------- */

#define ADVICE                                                           \
	"stop the server, move " SQLITE_STORE_FILE "* out of the state " \
	"directory and put a backup there (or start with an empty one)"

static void
describe(struct sqlite *sql, int rc, const char *what, struct err *err)
{
	(void)err_set(err, ERR_SYSTEM, "%s: %s: %s", SQLITE_STORE_FILE, what,
	    sqlite3_errstr(rc));
	err->sys = sqlite3_system_errno(sql->db);
	if ((rc & 0xff) == SQLITE_FULL)
		(void)err_set(err, ERR_SYSTEM,
		    "%s: %s: no space left on the disk of the state directory",
		    SQLITE_STORE_FILE, what);
	if ((rc & 0xff) == SQLITE_FULL)
		err->sys = ENOSPC;
	if ((rc & 0xff) == SQLITE_BUSY)
		(void)err_set(err, ERR_SYSTEM,
		    "%s is in use by another program: end it",
		    SQLITE_STORE_FILE);
	if ((rc & 0xff) == SQLITE_NOTADB)
		(void)err_set(err, ERR_SYSTEM, "%s is not a database: " ADVICE,
		    SQLITE_STORE_FILE);
	if ((rc & 0xff) == SQLITE_CORRUPT)
		(void)err_set(err, ERR_SYSTEM, "%s is damaged: " ADVICE,
		    SQLITE_STORE_FILE);
}

/*
 * After a failed fsync the kernel may have dropped the dirty pages and say
 * "done" the next time (https://lwn.net/Articles/752063/), so such a handle is
 * never used again.  A full disk is no such case: SQLite undoes the
 * transaction.
 */
static bool
is_fatal(int rc)
{
	rc &= 0xff;
	return rc == SQLITE_IOERR || rc == SQLITE_CORRUPT ||
	    rc == SQLITE_NOTADB;
}

int
sqlite_err(struct sqlite *sql, const char *what, struct err *err)
{
	int rc = sqlite3_extended_errcode(sql->db);

	describe(sql, rc, what, err);
	if (is_fatal(rc) && !sql->dead) {
		sql->dead = true;
		sql->death = *err;
	}
	return -1;
}

int
sqlite_step(struct sqlite *sql, sqlite3_stmt *stmt, const char *what,
    struct err *err)
{
	int rc = sqlite3_step(stmt);

	if (rc == SQLITE_ROW)
		return 1;
	if (rc != SQLITE_DONE)
		(void)sqlite_err(sql, what, err);
	(void)sqlite3_reset(stmt);
	return rc == SQLITE_DONE ? 0 : -1;
}

/* --- the VFS ------------------------------------------------------------ */

static int
full_pathname(sqlite3_vfs *vfs, const char *name, int n, char *out)
{
	(void)snprintf(out, (size_t)n, "%s", name);
	return (size_t)n > strlen(name) ? SQLITE_OK : SQLITE_CANTOPEN;
}

/* The system's own VFS but for the one function.  Once per process. */
static int
register_vfs(struct err *err)
{
	static sqlite3_vfs vfs;
	const sqlite3_vfs *normal = sqlite3_vfs_find(NULL);

	if (sqlite3_vfs_find(VFS_NAME) != NULL)
		return 0;
	if (normal == NULL)
		return err_set(err, ERR_INTERNAL, "SQLite has no VFS");
	vfs = *normal;
	vfs.pNext = NULL;
	vfs.zName = VFS_NAME;
	vfs.xFullPathname = full_pathname;
	if (sqlite3_vfs_register(&vfs, 0) != SQLITE_OK)
		return err_set(err, ERR_INTERNAL, "SQLite: VFS refused");
	return 0;
}

/* --- the folder --------------------------------------------------------- */

static int
check_cwd(int dirfd, struct err *err)
{
	struct stat dir;
	struct stat here;

	if (fstat(dirfd, &dir) < 0 || stat(".", &here) < 0)
		return err_sys(err, "state directory");
	if (dir.st_dev != here.st_dev || dir.st_ino != here.st_ino)
		return err_set(err, ERR_INTERNAL,
		    "the state directory is not the current directory");
	return 0;
}

static int
refuse_second(int fd, struct err *err)
{
	char pid[16] = "";
	ssize_t n = pread(fd, pid, sizeof(pid) - 1, 0);

	pid[n < 0 ? 0 : n] = '\0';
	pid[strspn(pid, "0123456789")] = '\0';
	return err_set(err, ERR_BAD_INPUT,
	    "another perilune (pid %s) uses this state directory: end it, or "
	    "use another --state",
	    *pid == '\0' ? "unknown" : pid);
}

/* The lock is the open file's: it ends with the process, however it ends. */
static int
take_lock(int dirfd, int *fd_out, struct err *err)
{
	auto_close int fd = openat(dirfd, LOCK_FILE,
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return err_sys(err,
		    "state directory: cannot write "
		    "the file \"" LOCK_FILE "\"");
	if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
		if (errno == EWOULDBLOCK)
			return refuse_second(fd, err);
		return err_sys(err, "state directory: flock");
	}
	if (ftruncate(fd, 0) < 0 || dprintf(fd, "%d\n", (int)getpid()) < 0)
		return err_sys(err,
		    "state directory: cannot write "
		    "the file \"" LOCK_FILE "\"");
	*fd_out = steal_fd(&fd);
	return 0;
}

/* SQLite would make the file readable for everyone; -wal takes its mode. */
static int
make_file(int dirfd, off_t *bytes_out, struct err *err)
{
	auto_close int fd = openat(dirfd, SQLITE_STORE_FILE,
	    O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC, 0600);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err,
		    "state directory: cannot write "
		    "the file \"" SQLITE_STORE_FILE "\"");
	if (!S_ISREG(st.st_mode))
		return err_set(err, ERR_BAD_INPUT,
		    "%s is not a regular file: " ADVICE, SQLITE_STORE_FILE);
	*bytes_out = st.st_size;
	return 0;
}

/* --- the database ------------------------------------------------------- */

static int
exec(struct sqlite *sql, const char *text, const char *what, struct err *err)
{
	if (sqlite3_exec(sql->db, text, NULL, NULL, NULL) != SQLITE_OK)
		return sqlite_err(sql, what, err);
	return 0;
}

/* The first column of the first row, as a number and as a text. */
static int
ask(struct sqlite *sql, const char *text, int *number_out, char *text_out,
    size_t n, struct err *err)
{
	sqlite3_stmt *stmt;
	int got;

	if (sqlite3_prepare_v2(sql->db, text, -1, &stmt, NULL) != SQLITE_OK)
		return sqlite_err(sql, "open", err);
	got = sqlite_step(sql, stmt, "open", err);
	if (got == 1 && number_out != NULL)
		*number_out = sqlite3_column_int(stmt, 0);
	if (got == 1 && text_out != NULL)
		(void)snprintf(text_out, n, "%s",
		    (const char *)sqlite3_column_text(stmt, 0));
	(void)sqlite3_finalize(stmt);
	return got < 0 ? -1 : 0;
}

static int
on_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
	((struct sqlite *)arg)->wal_pages = pages;
	return SQLITE_OK;
}

/*
 * Exclusive: the log's index is in memory (no -shm file to lose) and no other
 * program can change the file below us.  Checkpoints are ours to start: those
 * that SQLite starts by itself hide a failed fsync.
 */
static int
configure(struct sqlite *sql, struct err *err)
{
	char mode[16] = "";

	(void)sqlite3_extended_result_codes(sql->db, 1);
	(void)sqlite3_busy_timeout(sql->db, 1000);
	(void)sqlite3_db_config(sql->db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
	if (exec(sql,
		"PRAGMA locking_mode=EXCLUSIVE;"
		"PRAGMA trusted_schema=OFF;"
		"PRAGMA foreign_keys=OFF;"
		"PRAGMA temp_store=MEMORY;"
		"PRAGMA cache_size=-8192;",
		"open", err) < 0 ||
	    ask(sql, "PRAGMA journal_mode=WAL", NULL, mode, sizeof(mode), err) <
		0 ||
	    exec(sql, "PRAGMA synchronous=FULL", "open", err) < 0)
		return -1;
	if (strcmp(mode, "wal") != 0)
		return err_set(err, ERR_SYSTEM,
		    "%s: no write-ahead log on this file system (mode %s)",
		    SQLITE_STORE_FILE, mode);
	(void)sqlite3_wal_autocheckpoint(sql->db, 0);
	(void)sqlite3_wal_hook(sql->db, on_wal, sql);
	return 0;
}

static int
quick_check(struct sqlite *sql, struct err *err)
{
	char said[128] = "";

	if (ask(sql, "PRAGMA quick_check(1)", NULL, said, sizeof(said), err) <
	    0)
		return -1;
	if (strcmp(said, "ok") != 0)
		return err_set(err, ERR_SYSTEM,
		    "%s is damaged (%.60s): " ADVICE, SQLITE_STORE_FILE, said);
	return 0;
}

static int
migrate(struct sqlite *sql, int from, struct err *err)
{
	for (int step = from; step < SCHEMA_VERSION; step++) {
		char mark[96];

		(void)snprintf(mark, sizeof(mark),
		    "PRAGMA application_id=%d; PRAGMA user_version=%d; COMMIT",
		    APPLICATION_ID, step + 1);
		if (exec(sql, "BEGIN IMMEDIATE", "new schema", err) < 0 ||
		    exec(sql, migrations[step], "new schema", err) < 0 ||
		    exec(sql, mark, "new schema", err) < 0)
			return -1;
	}
	return 0;
}

static int
check_schema(struct sqlite *sql, struct err *err)
{
	int app = 0;
	int version = 0;
	int tables = 0;

	if (ask(sql, "PRAGMA application_id", &app, NULL, 0, err) < 0 ||
	    ask(sql, "PRAGMA user_version", &version, NULL, 0, err) < 0 ||
	    ask(sql, "SELECT count(*) FROM sqlite_schema", &tables, NULL, 0,
		err) < 0)
		return -1;
	if (app != APPLICATION_ID && (app != 0 || version != 0 || tables != 0))
		return err_set(err, ERR_BAD_INPUT,
		    "%s belongs to another program: move it out of the state "
		    "directory",
		    SQLITE_STORE_FILE);
	if (version < 0 || version > SCHEMA_VERSION)
		return err_set(err, ERR_BAD_INPUT,
		    "%s was written by a newer perilune (schema %d, this one "
		    "knows %d): use that one, or another --state",
		    SQLITE_STORE_FILE, version, SCHEMA_VERSION);
	return migrate(sql, version, err);
}

static int
prepare_all(struct sqlite *sql, struct err *err)
{
	for (int i = 0; i < SQL_N; i++)
		if (sqlite3_prepare_v3(sql->db, sql_text[i], -1,
			SQLITE_PREPARE_PERSISTENT, &sql->statements[i],
			NULL) != SQLITE_OK)
			return sqlite_err(sql, sqlite3_errmsg(sql->db), err);
	return 0;
}

static int
open_database(struct sqlite *sql, int dirfd, struct err *err)
{
	off_t bytes = 0;

	if (check_cwd(dirfd, err) < 0 || register_vfs(err) < 0 ||
	    take_lock(dirfd, &sql->lockfd, err) < 0 ||
	    make_file(dirfd, &bytes, err) < 0)
		return -1;
	if (sqlite3_open_v2(SQLITE_STORE_FILE, &sql->db,
		SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX,
		VFS_NAME) != SQLITE_OK)
		return sqlite_err(sql, "open", err);
	if (configure(sql, err) < 0 ||
	    (bytes <= CHECK_MAX_BYTES && quick_check(sql, err) < 0) ||
	    check_schema(sql, err) < 0)
		return -1;
	return prepare_all(sql, err);
}

void *
sqlite_store_open(int dirfd, struct err *err)
{
	struct sqlite *sql = calloc(1, sizeof(*sql));

	if (sql == NULL)
		abort();
	sql->lockfd = -1;
	if (open_database(sql, dirfd, err) < 0) {
		sqlite_store_close(sql);
		return NULL;
	}
	return sql;
}

/* Closing makes a last checkpoint and removes the log, so that the one file
 * is the whole database; when that fails the log stays and is read next time. */
void
sqlite_store_close(void *self)
{
	struct sqlite *sql = self;

	for (int i = 0; i < SQL_N; i++)
		(void)sqlite3_finalize(sql->statements[i]);
	if (sql->dead)
		(void)sqlite3_db_config(sql->db,
		    SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
	(void)sqlite3_close(sql->db);
	if (sql->lockfd >= 0)
		(void)close(sql->lockfd);
	free(sql);
}
