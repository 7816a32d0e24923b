/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of lake/ share and nobody else includes: the DuckDB session, the list of good files, the writer of one file.
 *
 * A file's name is STEM.HASH.parquet, or STEM.HASH.merged.parquet for one that compaction made; HASH is the first 16 digits of
 * its content's hash. A merged file's Parquet metadata lists, under the key assay_replaces, the hashes of all files whose rows it
 * holds, also those that it holds by way of other merged files. Readers leave out a file that a good merged file replaces, so
 * rows are read once whether or not the old files are gone yet.
 */
#ifndef ASSAY_LAKE_INTERNAL_H
#define ASSAY_LAKE_INTERNAL_H

#include "base/fs.h"
#include "base/hash.h"
#include "lake/lake.h"

#include <duckdb.h>

/* ---- names and SQL text (path.c) */

enum { ASSAY_LAKE_HASH_DIGITS = 16 };
struct assay_lake_name {
    char hash[ASSAY_LAKE_HASH_DIGITS + 1];
    bool merged;
};
/* False if a file's name is not of the form above. */
bool assay_lake_name_parse(const char *path, struct assay_lake_name *name);
/* Text as one part of a path: what is not a letter, a digit, '.', '_' or '-' becomes '_', a leading '.' too, at most 64 bytes;
 * "none" for an empty or NULL text. */
char *assay_lake_path_part(const char *text, struct assay_arena *arena);
/* 'text' as an SQL literal. */
char *assay_lake_sql_text(const char *text, struct assay_arena *arena);
/* A list literal of paths for read_parquet, in which no character is a wild card. */
char *assay_lake_sql_paths(const char *const *paths, size_t n_paths, struct assay_arena *arena);

/* ---- a DuckDB session (db.c) */

struct assay_lake_db {
    duckdb_database database;
    duckdb_connection connection;
    char *spill_folder; /* where DuckDB puts what does not fit in memory; owned */
};
/* The session has an empty table assay.no_rows with all columns of a row. */
enum assay_status assay_lake_db_open(struct assay_lake_db *db, struct assay_error *err);
void assay_lake_db_close(struct assay_lake_db *db);
/* Runs a statement; n_changed (may be NULL) gets the number of rows that it wrote. */
enum assay_status assay_lake_db_run(struct assay_lake_db *db, const char *sql, int64_t *n_changed, struct assay_error *err);
/* The first cell of the first row as integer, 0 for null. */
enum assay_status assay_lake_db_int(struct assay_lake_db *db, const char *sql, int64_t *value, struct assay_error *err);
/* Sets *err to DuckDB's message in one line, and returns the status that its kind of error amounts to. */
enum assay_status assay_lake_db_error(duckdb_error_type type, const char *message, struct assay_error *err);

/* ---- walking a query's result (query.c) */

/* The result goes into a temporary table of the session, which spills what does not fit in memory, and is walked by pages: for
 * results of any size. One SELECT only. A failure while walking ends the walk: assay_lake_query_failed tells. The session must
 * outlive the query. (DuckDB's own streaming results end at the first empty piece of a UNION ALL, in 1.4.4, and lose the rest.)
 */
enum assay_status assay_lake_query_paged(struct assay_lake_db *db, const char *sql, struct assay_query **query,
                                         struct assay_error *err);
enum assay_status assay_lake_query_failed(const struct assay_query *query, struct assay_error *err);
/* The whole result at once. `type` (may be NULL) gets DuckDB's kind of error. */
enum assay_status assay_lake_query_all(struct assay_lake_db *db, const char *sql, struct assay_query **query,
                                       duckdb_error_type *type, struct assay_error *err);

/* ---- the files (files.c, verdicts.c) */

struct assay_lake_file {
    const char *path;
    struct assay_lake_name name;
    int64_t size_bytes;
    bool good;     /* its content has the hash that its name says */
    bool replaced; /* a good merged file holds its rows */
    bool
        overlaps; /* holds rows that another merged file holds too, as after two lakes were compacted apart and copied together */
    const char *replaces; /* of a good merged file: hashes, separated by spaces; else NULL */
    size_t n_replaces;
};
struct assay_lake_files {
    struct assay_arena arena;
    struct assay_lake_file *files;
    size_t n_files;
};
/* Every Parquet file below `path` with its state; each bad one is told to `warn`. Hashes are computed anew where `check_hashes`,
 * else only where no recent verdict of the same, unchanged file is kept in Assay's cache folder. */
enum assay_status assay_lake_files_list(struct assay_lake_files *list, const char *path, struct assay_lake_db *db,
                                        bool check_hashes, assay_lake_warning *warn, void *context, struct assay_error *err);
void assay_lake_files_release(struct assay_lake_files *list);
static inline bool assay_lake_file_is_read(const struct assay_lake_file *file) { return file->good && !file->replaced; }
/* Computes the file's hash and compares it with its name's: ASSAY_MISMATCH if it differs or the file is cut short. */
enum assay_status assay_lake_file_check(const char *path, const struct assay_lake_name *name, struct assay_error *err);

/* Verdicts: which files, by stat, were found good and when. A cache that is damaged, or cannot be read or written, is as if
 * empty. */
struct assay_lake_verdicts;
struct stat;
struct assay_lake_verdicts *assay_lake_verdicts_load(const char *lake_path, struct assay_arena *arena);
bool assay_lake_verdicts_good(const struct assay_lake_verdicts *verdicts, const char *hash, const struct stat *info);
void assay_lake_verdicts_add(struct assay_lake_verdicts *verdicts, const char *hash, const struct stat *info);
void assay_lake_verdicts_save(struct assay_lake_verdicts *verdicts);

/* ---- reading (read.c) */

struct assay_lake {
    struct assay_arena arena;
    char *path;
    struct assay_lake_db db;
    struct assay_lake_files files;
    bool check_hashes;
    assay_lake_warning *warn;
    void *context;
};
/* "name TYPE, …" of all columns, for CREATE TABLE. */
char *assay_lake_sql_columns(struct assay_arena *arena);
/* A SELECT of all rows of these files, or of those of `list` that are read, each result once. */
char *assay_lake_sql_read(const char *const *paths, size_t n_paths, struct assay_arena *arena);
char *assay_lake_sql_read_list(const struct assay_lake_files *list, struct assay_arena *arena);

/* ---- writing (write.c) */

/* Rows on their way into a table `staged` of a session. */
struct assay_lake_staging {
    struct assay_lake_db *db;
    duckdb_appender appender;
    duckdb_data_chunk chunk;
    size_t n_in_chunk, chunk_bytes;
    int64_t n_rows;
};
enum assay_status assay_lake_staging_open(struct assay_lake_staging *staging, struct assay_lake_db *db, struct assay_error *err);
/* The row must have passed assay_row_check. */
enum assay_status assay_lake_staging_append(struct assay_lake_staging *staging, const struct assay_row *row,
                                            struct assay_error *err);
/* All appended rows are in the table. */
enum assay_status assay_lake_staging_finish(struct assay_lake_staging *staging, struct assay_error *err);
void assay_lake_staging_close(struct assay_lake_staging *staging);

/* Writes what `select` gives as a new file of `folder` (made if missing) and commits it. `n_rows` is what select must give.
 * `replaces` (may be NULL) makes it a merged file. *file is from the arena. */
struct assay_lake_commit {
    const char *lake_path, *folder, *stem, *select, *replaces;
    int64_t n_rows;
};
enum assay_status assay_lake_commit_file(struct assay_lake_db *db, const struct assay_lake_commit *commit,
                                         struct assay_arena *arena, char **file, struct assay_error *err);
/* Writes what `select` gives into a Parquet file at `path`, in its order and with bounded memory. `metadata` ("" or more options
 * of COPY) begins with a comma. */
enum assay_status assay_lake_copy(struct assay_lake_db *db, const char *select, const char *path, const char *metadata,
                                  int64_t *n_rows, struct assay_error *err);
/* LAKE/v1/host=…/date=… */
char *assay_lake_folder(const char *lake_path, const char *host, int64_t time_us, struct assay_arena *arena);

/* ---- exchange formats (export.c, import.c) */

enum assay_lake_format { ASSAY_LAKE_JSONL, ASSAY_LAKE_CSV, ASSAY_LAKE_PARQUET };
/* By the file's ending. */
enum assay_status assay_lake_format_of(const char *file, enum assay_lake_format *format, struct assay_error *err);

/* ---- one at a time (lock.c): compaction and import, never plain writing or reading */

/* Waits up to a minute; *fd is for assay_lake_unlock. */
enum assay_status assay_lake_lock(const char *lake_path, int *fd, struct assay_error *err);
void assay_lake_unlock(int fd);

/* ---- comma-separated values (csv.c), RFC 4180 */

struct assay_csv {
    FILE *file;
    int64_t line; /* where the last record began, from 1 */
    int64_t next_line;
    char *text; /* the record's fields, each with a NUL; owned */
    size_t size, room;
    struct assay_csv_field {
        size_t start, length;
        bool quoted;
    } * fields; /* owned */
    size_t n_fields, fields_room;
};
void assay_csv_init(struct assay_csv *csv, FILE *file);
void assay_csv_release(struct assay_csv *csv);
/* The next record; *end at the end of the file. ASSAY_INVALID for a quote that is not closed and for oversized records. */
enum assay_status assay_csv_read(struct assay_csv *csv, bool *end, struct assay_error *err);
/* A field as it must be written: quoted where it needs to be. NULL (null) is nothing, an empty text is "". */
void assay_csv_write_field(FILE *out, const char *text);

#endif
