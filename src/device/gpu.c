/* SPDX-License-Identifier: Apache-2.0 */
/* GPUs by every interface that is here. Each interface is asked in a child process with a time limit: loading a driver can crash,
 * hang, start threads and open devices, and none of that may happen to a program that only wants to list what is here. */
#include "device/internal.h"

#include "base/isolate.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *api;
    int (*list)(struct assay_gpu_record *records, int limit, char reason[ASSAY_GPU_TEXT]);
} interfaces[] = {{"nvml", assay_gpu_nvml}, {"opencl", assay_gpu_opencl}, {"vulkan", assay_gpu_vulkan}};

struct answer {
    int32_t n;
    char reason[ASSAY_GPU_TEXT];
    struct assay_gpu_record records[ASSAY_GPU_LIMIT];
};

static void list_in_child(const void *context, void *data)
{
    struct answer *answer = data;
    answer->n = interfaces[*(const size_t *)context].list(answer->records, ASSAY_GPU_LIMIT, answer->reason);
}

/* False, with answer->reason, if the interface did not answer. */
static bool ask(size_t interface, struct answer *answer)
{
    static const int64_t TIME_LIMIT_NS = INT64_C(10000000000);
    struct assay_error err;
    memset(answer, 0, sizeof *answer);
    if (assay_isolate(list_in_child, &interface, answer, sizeof *answer, TIME_LIMIT_NS, &err)) {
        snprintf(answer->reason, sizeof answer->reason, "its driver: %.80s", err.message);
        return false;
    }
    return answer->n >= 0 && answer->n <= ASSAY_GPU_LIMIT;
}

/* Whether one of the first n GPUs has this name: another interface has told of the same thing. */
static bool is_known(const struct assay_machine *machine, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcasecmp(machine->gpus[i].name, name) == 0)
            return true;
    return false;
}

void assay_gpu_list(struct assay_machine *machine)
{
    struct answer *answer = assay_arena_alloc(&machine->arena, sizeof *answer);
    for (size_t i = 0; i < ASSAY_COUNT(interfaces); i++) {
        int n_before = machine->n_gpus;
        if (!ask(i, answer) || answer->n == 0) {
            assay_machine_note(machine, "No GPU by %s: %s.", interfaces[i].api, answer->reason);
            continue;
        }
        machine->gpus = assay_arena_grow(&machine->arena, machine->gpus, (size_t)n_before, (size_t)(n_before + answer->n),
                                         sizeof *machine->gpus);
        for (int k = 0; k < answer->n; k++) {
            struct assay_gpu_record *record = &answer->records[k];
            if (is_known(machine, n_before, record->name))
                continue;
            machine->gpus[machine->n_gpus++] = (struct assay_gpu_info){
                .name = assay_arena_strdup(&machine->arena, record->name),
                .vendor = assay_arena_strdup(&machine->arena, record->vendor),
                .driver = assay_arena_strdup(&machine->arena, record->driver),
                .api = interfaces[i].api,
                .memory_bytes = record->memory_bytes > 0 ? record->memory_bytes : 0,
                .n_cores = record->n_cores > 0 ? record->n_cores : 0,
                .is_software = record->is_software != 0,
            };
        }
    }
}
