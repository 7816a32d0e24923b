/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The lake: a folder of immutable Parquet files, DIR/v1/host=HOST/date=YYYY-MM-DD/RUN-N.HASH.parquet, that holds every result
 * row.
 *
 * Writing: a file is written under a hidden temporary name, synced, renamed, the folder synced; so a row is in the lake as a
 * whole or not at all, and any number of processes and machines write with no lock. A file's name carries the BLAKE2b hash of its
 * content, and no file is read whose content has another: it is named in a warning and left out of queries, never silently. That
 * a file is good is remembered for a week in Assay's cache folder, as long as its inode, size and times stay the same. Reading:
 * DuckDB, in memory, over all files with union_by_name, as view `results`; columns that an old file lacks are null, those that
 * only newer files have are there too. Threads: a lake and its results belong to one thread at a time. docs/lake.md says more.
 */
#ifndef ASSAY_LAKE_LAKE_H
#define ASSAY_LAKE_LAKE_H

#include "row/row.h"

struct assay_lake; /* a reader: an in-memory DuckDB over the folder */

/* Where it is: `option` if not NULL, else $ASSAY_LAKE, else the user's data folder + "/lake". From the arena. */
enum assay_status assay_lake_path(const char *option, struct assay_arena *arena, char **path, struct assay_error *err);

/* Commits rows (all or none, one file) below `path`, made if missing. Each row is checked first (assay_row_check). `file` (may be
 * NULL) gets the file's path. */
enum assay_status assay_lake_write(const char *path, const struct assay_row *rows, size_t n_rows, struct assay_arena *arena,
                                   char **file, struct assay_error *err);

/* Told once for each file left out, with the reason. */
typedef void assay_lake_warning(void *context, const char *file, const char *reason);

/* Opens a folder for queries; an empty or missing lake has an empty view with all columns. `check_hashes` reads every file in
 * full, also those found good before. `warn` may be NULL; it and its context must outlive the lake. */
enum assay_status assay_lake_open(struct assay_lake **lake, const char *path, bool check_hashes, assay_lake_warning *warn,
                                  void *context, struct assay_error *err);
void assay_lake_close(struct assay_lake *lake);

/* A query's result: columns and cells as text or numbers, walked once from the first row to the last. Any SQL of DuckDB's; no
 * extension is fetched from the network. A query that fails because a file vanished (a compaction) or was damaged after the lake
 * was opened is run again without it, after a warning. ASSAY_INVALID: the statement is wrong; ASSAY_UNSUPPORTED: a column is of a
 * type that must be cast. *query is NULL on failure, and must be closed before the lake. */
struct assay_query;
enum assay_status assay_lake_query(struct assay_lake *lake, const char *sql, struct assay_query **query, struct assay_error *err);
void assay_query_close(struct assay_query *query);
int assay_query_n_columns(const struct assay_query *query);
const char *assay_query_column_name(const struct assay_query *query, int column);
/* Moves to the next row; false at the end. */
bool assay_query_next(struct assay_query *query);
/* The current cell as JSON value (new reference; null, number, text, list, object for a map or struct). */
json_t *assay_query_json(struct assay_query *query, int column);
/* The current cell as text for tables and CSV, from the arena; NULL for null. Lists and maps as JSON. */
char *assay_query_text(struct assay_query *query, int column, struct assay_arena *arena);
/* The current row as a result row, for queries of the form SELECT * FROM results …: columns by name, others ignored. What was in
 * `row` is cleared. */
enum assay_status assay_query_row(struct assay_query *query, struct assay_row *row, struct assay_error *err);

/* Simple filters: the newest rows first. A NULL or 0 member does not filter; texts may hold * as a wild card. */
struct assay_filter {
    const char *model, *platform, *mode, *scenario, *precision, *status, *host, *suite, *run_id, *family, *provenance;
    int64_t batch, threads;
    const char *since, *until; /* dates or times, ISO 8601 */
    bool latest;               /* of each case on each host only the newest */
    int64_t limit;
};
/* The SQL for a filter: "SELECT COLUMNS FROM results WHERE … ORDER BY time DESC", quoted safely. From the arena. */
char *assay_filter_sql(const struct assay_filter *filter, const char *columns, struct assay_arena *arena);

/* Maintenance. Each gives counts for a person. */
struct assay_lake_stat {
    int64_t n_files, n_rows, n_runs, n_hosts, n_models, n_platforms, size_bytes, n_damaged;
    int64_t first_us, last_us; /* 0 if empty */
};
enum assay_status assay_lake_stat(const char *path, struct assay_lake_stat *stat, assay_lake_warning *warn, void *context,
                                  struct assay_error *err);
/* Every file's hash and every row's rules; ASSAY_MISMATCH if any is damaged (each told to warn). */
enum assay_status assay_lake_verify(const char *path, struct assay_lake_stat *stat, assay_lake_warning *warn, void *context,
                                    struct assay_error *err);
/* Merges the small files of each host and day into one. The merged file is committed before the old ones go and names them, so
 * that readers leave them out: a kill at any moment loses and doubles nothing. Of results that are there twice one stays. Damaged
 * files are left alone. One compaction or import at a time (a lock); ASSAY_TIMEOUT if another holds it for a minute. */
enum assay_status assay_lake_compact(const char *path, struct assay_lake_stat *before, struct assay_lake_stat *after,
                                     assay_lake_warning *warn, void *context, struct assay_error *err);
/* Copies what `to` lacks, each file verified before and after; a damaged file there is replaced by its good original, and nothing
 * is deleted. restore is backup the other way. */
enum assay_status assay_lake_backup(const char *path, const char *to, int64_t *n_copied, assay_lake_warning *warn, void *context,
                                    struct assay_error *err);

/* Exchange. Formats by the file's ending: .jsonl, .csv, .parquet. Import checks each row, gives it the lake's schema version,
 * keeps its ids, and skips rows whose result_id is in the lake already (*n_skipped). The first bad row is ASSAY_INVALID with its
 * line, and nothing is imported. */
enum assay_status assay_lake_export(struct assay_lake *lake, const char *sql, const char *file, int64_t *n_rows,
                                    struct assay_error *err);
enum assay_status assay_lake_import(const char *path, const char *file, int64_t *n_rows, int64_t *n_skipped,
                                    struct assay_error *err);

#endif
