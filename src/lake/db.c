/* SPDX-License-Identifier: Apache-2.0 */
/* A DuckDB session: in memory, without the network, spilling to a folder of its own. */
#include "lake/internal.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static enum assay_status open_database(struct assay_lake_db *db, struct assay_error *err)
{
    static const char *const settings[][2] = {
        {"autoinstall_known_extensions", "false"},
        {"autoload_known_extensions", "false"},
        {"allow_community_extensions", "false"},
    };
    duckdb_config config = NULL;
    char *message = NULL;
    enum assay_status st = ASSAY_OK;
    if (duckdb_create_config(&config) == DuckDBError)
        return assay_error_set(err, ASSAY_CRASHED, "DuckDB could not make a configuration");
    for (size_t i = 0; i < ASSAY_COUNT(settings) && !st; i++) {
        if (duckdb_set_config(config, settings[i][0], settings[i][1]) == DuckDBError)
            st = assay_error_set(err, ASSAY_CRASHED, "DuckDB %s does not know the setting %s: install the version of deps/",
                                 duckdb_library_version(), settings[i][0]);
    }
    if (!st && duckdb_open_ext(NULL, &db->database, config, &message) == DuckDBError)
        st = assay_error_set(err, ASSAY_CRASHED, "DuckDB could not start: %s", message ? message : "no reason given");
    if (!st && duckdb_connect(db->database, &db->connection) == DuckDBError)
        st = assay_error_set(err, ASSAY_CRASHED, "DuckDB could not make a connection");
    duckdb_free(message);
    duckdb_destroy_config(&config);
    return st;
}

enum assay_status assay_lake_db_open(struct assay_lake_db *db, struct assay_error *err)
{
    *db = (struct assay_lake_db){0};
    struct assay_arena arena;
    assay_arena_init(&arena);
    enum assay_status st = open_database(db, err);
    if (st)
        goto done;
    /* The address tells sessions of one process apart. Without a cache folder nothing is spilled, and too much is NO_MEMORY. */
    char *cache = NULL;
    if (assay_path_cache(&arena, &cache, NULL) == ASSAY_OK)
        db->spill_folder = assay_strdup(assay_arena_printf(&arena, "%s/spill-%ld-%p", cache, (long)getpid(), (void *)db));
    const char *folder = db->spill_folder ? db->spill_folder : "";
    st = assay_lake_db_run(
        db,
        assay_arena_printf(
            &arena,
            "SET parquet_metadata_cache = true; SET temp_directory = %s; CREATE SCHEMA assay; CREATE TABLE assay.no_rows (%s)",
            assay_lake_sql_text(folder, &arena), assay_lake_sql_columns(&arena)),
        NULL, err);
done:
    assay_arena_release(&arena);
    if (st)
        assay_lake_db_close(db);
    return st;
}

void assay_lake_db_close(struct assay_lake_db *db)
{
    if (db->connection)
        duckdb_disconnect(&db->connection);
    if (db->database)
        duckdb_close(&db->database);
    if (db->spill_folder) {
        assay_fs_remove(db->spill_folder, NULL);
        free(db->spill_folder);
    }
    *db = (struct assay_lake_db){0};
}

enum assay_status assay_lake_db_error(duckdb_error_type type, const char *message, struct assay_error *err)
{
    enum assay_status st = type == DUCKDB_ERROR_IO              ? ASSAY_IO
                           : type == DUCKDB_ERROR_OUT_OF_MEMORY ? ASSAY_NO_MEMORY
                           : type == DUCKDB_ERROR_INTERRUPT     ? ASSAY_INTERRUPTED
                                                                : ASSAY_INVALID;
    if (!message)
        message = "DuckDB gave no reason";
    /* What follows an empty line repeats the statement or lists stack frames. */
    const char *end = strstr(message, "\n\n");
    int n = end ? (int)(end - message) : (int)strlen(message);
    return assay_error_set(err, st, "%.*s", n < 500 ? n : 500, message);
}

enum assay_status assay_lake_db_run(struct assay_lake_db *db, const char *sql, int64_t *n_changed, struct assay_error *err)
{
    duckdb_result result;
    enum assay_status st = ASSAY_OK;
    if (duckdb_query(db->connection, sql, &result) == DuckDBError)
        st = assay_lake_db_error(duckdb_result_error_type(&result), duckdb_result_error(&result), err);
    else if (n_changed)
        *n_changed = (int64_t)duckdb_rows_changed(&result);
    duckdb_destroy_result(&result);
    return st;
}

enum assay_status assay_lake_db_int(struct assay_lake_db *db, const char *sql, int64_t *value, struct assay_error *err)
{
    struct assay_query *query;
    enum assay_status st = assay_lake_query_all(db, sql, &query, NULL, err);
    if (st)
        return st;
    *value = 0;
    if (assay_query_next(query)) {
        json_t *cell = assay_query_json(query, 0);
        *value = json_integer_value(cell);
        json_decref(cell);
    }
    assay_query_close(query);
    return ASSAY_OK;
}
