/* SPDX-License-Identifier: Apache-2.0 */
/* See linear_assignment.h. Below, "line" and "place" are rows and columns, turned where there are more rows than columns, so that
 * each line gets a place. */
#include "train/linear_assignment.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

struct problem {
    const double *cost;
    int64_t n_lines, n_places, line_stride, place_stride;
    double *line_potential, *place_potential; /* [n_lines], [n_places]; cost - both >= 0, and 0 for the pairs chosen */
    double *distance;                         /* [n_places] from the line that is being placed */
    int64_t *line_of;                         /* [n_places], -1 = none yet */
    int64_t *before;                          /* [n_places] the line before each place on the shortest way there */
    int64_t *places;                          /* [n_places] the first n_open are not reached for good, the others are */
    int64_t *place_of;                        /* [n_lines], -1 = none yet */
    int64_t n_open;
};

static double cost_of(const struct problem *p, int64_t line, int64_t place)
{
    return p->cost[line * p->line_stride + place * p->place_stride];
}

/* Of places equally near, a free one ends the search; else the lowest, so that the order of `places` decides nothing. */
static bool is_better(const struct problem *p, int64_t place, int64_t than)
{
    if (p->distance[place] != p->distance[than])
        return p->distance[place] < p->distance[than];
    bool is_free = p->line_of[place] < 0, than_is_free = p->line_of[than] < 0;
    return is_free != than_is_free ? is_free : place < than;
}

/* Dijkstra's search from a line to the nearest free place; its distance, or infinity where there is no way. */
static double find_way(struct problem *p, int64_t line, int64_t *end)
{
    double reached = 0;
    p->n_open = p->n_places;
    for (int64_t j = 0; j < p->n_places; j++) {
        p->places[j] = j;
        p->distance[j] = INFINITY;
    }
    for (;;) {
        int64_t nearest = 0;
        for (int64_t k = 0; k < p->n_open; k++) {
            int64_t place = p->places[k];
            double way = reached + (cost_of(p, line, place) - p->line_potential[line] - p->place_potential[place]);
            if (way < p->distance[place]) {
                p->distance[place] = way;
                p->before[place] = line;
            }
            if (is_better(p, place, p->places[nearest]))
                nearest = k;
        }
        int64_t place = p->places[nearest];
        reached = p->distance[place];
        if (isinf(reached))
            return reached;
        p->places[nearest] = p->places[--p->n_open];
        p->places[p->n_open] = place;
        *end = place;
        if (p->line_of[place] < 0)
            return reached;
        line = p->line_of[place];
    }
}

/* Moves the potentials so that the way found costs nothing, and gives each line on it its next place. */
static void augment(struct problem *p, int64_t start, int64_t end, double reached)
{
    p->line_potential[start] += reached;
    for (int64_t k = p->n_open; k < p->n_places; k++) {
        int64_t place = p->places[k];
        if (place == end)
            continue;
        p->line_potential[p->line_of[place]] += reached - p->distance[place];
        p->place_potential[place] -= reached - p->distance[place];
    }
    for (int64_t place = end, line = -1; line != start;) {
        line = p->before[place];
        int64_t next = p->place_of[line];
        p->line_of[place] = line;
        p->place_of[line] = place;
        place = next;
    }
}

static enum assay_status check_costs(const double *cost, int64_t n_rows, int64_t n_columns, struct assay_error *err)
{
    double most = DBL_MAX / 8 / (double)(n_rows + n_columns);
    for (int64_t i = 0; i < n_rows * n_columns; i++)
        if (!(cost[i] >= -most && (cost[i] <= most || isinf(cost[i]))))
            return assay_error_set(err, ASSAY_INVALID, "the cost %g of row %lld and column %lld cannot be matched: it is %s",
                                   cost[i], (long long)(i / n_columns), (long long)(i % n_columns),
                                   isnan(cost[i]) ? "no number" : "too large");
    return ASSAY_OK;
}

static enum assay_status open_problem(struct problem *p, const double *cost, int64_t n_rows, int64_t n_columns,
                                      struct assay_error *err)
{
    bool is_turned = n_rows > n_columns;
    size_t n_lines = (size_t)(is_turned ? n_columns : n_rows), n_places = (size_t)(is_turned ? n_rows : n_columns);
    *p = (struct problem){
        .cost = cost,
        .n_lines = (int64_t)n_lines,
        .n_places = (int64_t)n_places,
        .line_stride = is_turned ? 1 : n_columns,
        .place_stride = is_turned ? n_columns : 1,
        .line_potential = calloc(n_lines, sizeof(double)),
        .place_potential = calloc(n_places, sizeof(double)),
        .distance = calloc(n_places, sizeof(double)),
        .line_of = calloc(n_places, sizeof(int64_t)),
        .before = calloc(n_places, sizeof(int64_t)),
        .places = calloc(n_places, sizeof(int64_t)),
        .place_of = calloc(n_lines, sizeof(int64_t)),
    };
    if (!p->line_potential || !p->place_potential || !p->distance || !p->line_of || !p->before || !p->places || !p->place_of)
        return assay_error_set(err, ASSAY_NO_MEMORY, "no memory to match %lld rows with %lld columns", (long long)n_rows,
                               (long long)n_columns);
    memset(p->line_of, -1, n_places * sizeof *p->line_of);
    memset(p->place_of, -1, n_lines * sizeof *p->place_of);
    return ASSAY_OK;
}

static void release_problem(struct problem *p)
{
    free(p->line_potential);
    free(p->place_potential);
    free(p->distance);
    free(p->line_of);
    free(p->before);
    free(p->places);
    free(p->place_of);
}

enum assay_status assay_matching_solve(const double *cost, int64_t n_rows, int64_t n_columns, int64_t *column_of_row,
                                       double *total, struct assay_error *err)
{
    struct problem p = {0};
    double sum = 0;
    for (int64_t i = 0; i < n_rows; i++)
        column_of_row[i] = -1;
    if (total)
        *total = 0;
    if (n_rows == 0 || n_columns == 0)
        return ASSAY_OK;
    enum assay_status st = check_costs(cost, n_rows, n_columns, err);
    if (st)
        return st;
    st = open_problem(&p, cost, n_rows, n_columns, err);
    for (int64_t line = 0; line < p.n_lines && !st; line++) {
        int64_t end = -1;
        double reached = find_way(&p, line, &end);
        if (isinf(reached))
            st = assay_error_set(err, ASSAY_INVALID, "%lld rows and %lld columns cannot be matched: too many pairs are forbidden",
                                 (long long)n_rows, (long long)n_columns);
        else
            augment(&p, line, end, reached);
    }
    for (int64_t line = 0; line < p.n_lines && !st; line++) {
        bool is_turned = n_rows > n_columns;
        column_of_row[is_turned ? p.place_of[line] : line] = is_turned ? line : p.place_of[line];
        sum += cost_of(&p, line, p.place_of[line]);
    }
    if (total && !st)
        *total = sum;
    release_problem(&p);
    return st;
}
