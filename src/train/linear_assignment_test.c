/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small problems against every permutation; large ones against Klein's criterion (1967): an assignment is best exactly if no
 * cycle of exchanges, nor a chain to a free column, costs less than nothing (looked for with Bellman and Ford's algorithm).
 */
#include "train/linear_assignment.h"

#include "base/arena.h"
#include "base/rng.h"
#include "base/test.h"

#include <stdbool.h>

enum { MOST = 120 };

static double best_of_all(const double *cost, int n_rows, int n_columns, int row, unsigned used)
{
    /* Rows that get no column: as many as there are too many. */
    int n_used = __builtin_popcount(used);
    if (row == n_rows)
        return n_used == (n_rows < n_columns ? n_rows : n_columns) ? 0 : INFINITY;
    double best = n_rows > n_columns ? best_of_all(cost, n_rows, n_columns, row + 1, used) : INFINITY;
    for (int j = 0; j < n_columns; j++)
        if (!(used & 1u << j))
            best = fmin(best, cost[row * n_columns + j] + best_of_all(cost, n_rows, n_columns, row + 1, used | 1u << j));
    return best;
}

/* Each column at most once, as many pairs as can be, and the sum is that of the pairs. */
static void check_is_assignment(const double *cost, int n_rows, int n_columns, const int64_t *column_of_row, double total)
{
    bool used[MOST] = {false};
    int n = 0;
    double sum = 0;
    for (int i = 0; i < n_rows; i++) {
        int64_t j = column_of_row[i];
        if (j < 0)
            continue;
        CHECK(j < n_columns && !used[j]);
        used[j] = true;
        sum += cost[i * n_columns + j];
        n++;
    }
    CHECK_INT(n, n_rows < n_columns ? n_rows : n_columns);
    CHECK_NEAR(total, sum, 1e-9 * (1 + fabs(sum)));
}

/* Exchanges between columns for n_rows <= n_columns: the row of column a may take column b for cost[b] - cost[a]; a free column
 * costs nothing to leave and to take. Distances that still fall after as many rounds as there are columns: a cycle below 0. */
static bool can_be_improved(const double *cost, int n_rows, int n_columns, const int64_t *column_of_row)
{
    int row_of[MOST];
    double distance[MOST + 1] = {0}; /* the last stands for all free columns: entering one is leaving any other */
    for (int j = 0; j < n_columns; j++)
        row_of[j] = -1;
    for (int i = 0; i < n_rows; i++)
        row_of[column_of_row[i]] = i;
    for (int round = 0; round <= n_columns + 1; round++) {
        bool has_fallen = false;
        for (int a = 0; a < n_columns; a++)
            for (int b = 0; b < n_columns && row_of[a] >= 0; b++) {
                int to = row_of[b] < 0 ? n_columns : b;
                double way = distance[a] + cost[row_of[a] * n_columns + b] - cost[row_of[a] * n_columns + a];
                if (way < distance[to] - 1e-9) {
                    distance[to] = way;
                    has_fallen = true;
                }
            }
        for (int a = 0; a < n_columns; a++)
            if (row_of[a] >= 0 && distance[n_columns] < distance[a] - 1e-9) {
                distance[a] = distance[n_columns]; /* a's row moves to a free column's place in turn: a chain closes */
                has_fallen = true;
            }
        if (!has_fallen)
            return false;
    }
    return true;
}

static double solve(const double *cost, int n_rows, int n_columns, int64_t *column_of_row)
{
    struct assay_error err;
    double total;
    CHECK_OK(assay_matching_solve(cost, n_rows, n_columns, column_of_row, &total, &err), err);
    check_is_assignment(cost, n_rows, n_columns, column_of_row, total);
    return total;
}

ASSAY_TEST(small_problems_equal_the_best_of_all_permutations)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 7, 0);
    double cost[49];
    int64_t column_of_row[7];
    for (int round = 0; round < 3000; round++) {
        int n_rows = 1 + (int)assay_rng_below(&rng, 7), n_columns = 1 + (int)assay_rng_below(&rng, 7);
        if (n_rows == 7 && n_columns == 7 && round % 4)
            n_rows = 3;
        bool is_coarse = assay_rng_below(&rng, 2); /* small integers: many assignments are equally good */
        for (int i = 0; i < n_rows * n_columns; i++)
            cost[i] = is_coarse ? (double)assay_rng_below(&rng, 4) - 1 : 10 * assay_rng_normal(&rng);
        double total = solve(cost, n_rows, n_columns, column_of_row);
        CHECK_NEAR(total, best_of_all(cost, n_rows, n_columns, 0, 0), 1e-11);
    }
}

ASSAY_TEST(forbidden_pairs_are_not_chosen)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 8, 0);
    double cost[36];
    int64_t column_of_row[6];
    int n_impossible = 0, n_possible = 0;
    for (int round = 0; round < 2000; round++) {
        int n_rows = 1 + (int)assay_rng_below(&rng, 6), n_columns = 1 + (int)assay_rng_below(&rng, 6);
        for (int i = 0; i < n_rows * n_columns; i++)
            cost[i] = assay_rng_below(&rng, 5) < 2 ? INFINITY : assay_rng_uniform(&rng);
        double wanted = best_of_all(cost, n_rows, n_columns, 0, 0), total;
        struct assay_error err;
        enum assay_status st = assay_matching_solve(cost, n_rows, n_columns, column_of_row, &total, &err);
        CHECK_INT(st, isinf(wanted) ? ASSAY_INVALID : ASSAY_OK);
        if (st == ASSAY_OK)
            CHECK_NEAR(total, wanted, 1e-12);
        n_impossible += st != ASSAY_OK;
        n_possible += st == ASSAY_OK;
    }
    CHECK(n_impossible > 100 && n_possible > 100);
}

/* The criterion itself is shown to see an assignment that is not best. */
ASSAY_TEST(large_problems_cannot_be_improved)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 9, 0);
    double *cost = assay_alloc(sizeof(double) * MOST * MOST);
    int64_t column_of_row[MOST];
    int n_seen = 0;
    for (int round = 0; round < 30; round++) {
        int n_rows = 20 + (int)assay_rng_below(&rng, 60), n_columns = n_rows + (int)assay_rng_below(&rng, 2) * 40;
        for (int i = 0; i < n_rows * n_columns; i++)
            cost[i] = round % 3 ? assay_rng_normal(&rng) : (double)assay_rng_below(&rng, 10);
        solve(cost, n_rows, n_columns, column_of_row);
        CHECK(!can_be_improved(cost, n_rows, n_columns, column_of_row));
        int64_t first = column_of_row[0];
        column_of_row[0] = column_of_row[1];
        column_of_row[1] = first;
        n_seen += can_be_improved(cost, n_rows, n_columns, column_of_row);
    }
    CHECK(n_seen > 20);
    free(cost);
}

ASSAY_TEST(turning_a_problem_turns_its_solution)
{
    struct assay_rng rng;
    assay_rng_init(&rng, 10, 0);
    double cost[MOST * 20], turned[MOST * 20];
    int64_t column_of_row[MOST], row_of_column[20];
    for (int i = 0; i < MOST; i++)
        for (int j = 0; j < 20; j++)
            turned[j * MOST + i] = cost[i * 20 + j] = assay_rng_normal(&rng);
    double total = solve(cost, MOST, 20, column_of_row);
    CHECK_NEAR(solve(turned, 20, MOST, row_of_column), total, 1e-12);
    for (int j = 0; j < 20; j++)
        CHECK_INT(column_of_row[row_of_column[j]], j);
}

ASSAY_TEST(no_rows_or_no_columns_are_no_pairs)
{
    int64_t column_of_row[3] = {7, 7, 7};
    double total = 1;
    struct assay_error err;
    CHECK_OK(assay_matching_solve(NULL, 3, 0, column_of_row, &total, &err), err);
    CHECK(column_of_row[0] == -1 && column_of_row[2] == -1 && total == 0);
    CHECK_OK(assay_matching_solve(NULL, 0, 3, column_of_row, &total, &err), err);
}

ASSAY_TEST(costs_that_cannot_be_added_are_refused)
{
    const double bad[] = {NAN, -INFINITY, 1e308, -1e308};
    int64_t column_of_row[2];
    for (size_t i = 0; i < ASSAY_COUNT(bad); i++) {
        double cost[] = {1, 2, bad[i], 4};
        struct assay_error err;
        CHECK(assay_matching_solve(cost, 2, 2, column_of_row, NULL, &err) == ASSAY_INVALID);
        CHECK_CONTAINS(err.message, "row 1 and column 0");
    }
}

ASSAY_TEST_MAIN(ASSAY_TEST_ENTRY(small_problems_equal_the_best_of_all_permutations),
                ASSAY_TEST_ENTRY(forbidden_pairs_are_not_chosen), ASSAY_TEST_ENTRY(large_problems_cannot_be_improved),
                ASSAY_TEST_ENTRY(turning_a_problem_turns_its_solution), ASSAY_TEST_ENTRY(no_rows_or_no_columns_are_no_pairs),
                ASSAY_TEST_ENTRY(costs_that_cannot_be_added_are_refused))
