/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ONNX Runtime through its C API: every execution provider that the library at hand reports is a platform, and one from a plug-in
 * library
 * (--ep-library) another variant of them.
 *
 * The graph reaches it serialised, so that it runs what Assay means, transformed graphs too; with its open dimensions open, as a
 * user's file has them. A node that the chosen provider (other than the CPU's) lacks is an error, not a silent run on the CPU,
 * unless --option cpu-fallback=1. Further options: any "session.KEY" of ONNX Runtime's session configuration, "ep.KEY" for the
 * provider.
 */
#include "base/fs.h"
#include "base/isolate.h"
#include "graph/gradient.h"
#include "graph/onnx.h"
#include "runtime/bind.h"
#include "runtime/onnxruntime/library.h"

#include <stdlib.h>
#include <string.h>

/* Above this, constants go to the session by pointer: a protobuf message ends at 2 GiB. */
static const int64_t EMBED_LIMIT_BYTES = INT64_C(1) << 30;

struct assay_program {
    const OrtApi *api;
    const struct assay_graph *given; /* borrowed */
    struct assay_graph *standard;    /* the same without ops of our own; NULL where there are none */
    const struct assay_graph *graph; /* the one of them that is run */
    OrtEnv *env;
    OrtSession *session;
    OrtMemoryInfo *memory;
    OrtAllocator *allocator; /* borrowed */
    struct assay_arena arena;
    const char **input_names, **output_names;
    OrtValue **inputs, **outputs;
    bool is_bound;
    OrtValue **constants; /* those given by pointer; live as long as the session */
    size_t n_constants;
    const char *profile_folder;
};

/* ---- platforms */

/* A session of one node, to find out whether a provider works here: y = x + x. */
static enum assay_status tiny_model(void **data, size_t *size_bytes, struct assay_error *err)
{
    struct assay_graph *graph = assay_graph_open("probe");
    struct assay_type type = assay_type_make(ASSAY_F32, 1, &(int64_t){4});
    int x = assay_graph_add_value(graph, "x", &type), y = assay_graph_add_value(graph, "y", &type);
    assay_graph_add_input(graph, x);
    assay_graph_add_node(graph, "Add", "", 2, (int[]){x, x}, 1, &y);
    assay_graph_add_output(graph, y);
    enum assay_status st = assay_onnx_serialize(graph, 0, data, size_bytes, err);
    assay_graph_close(graph);
    return st;
}

static enum assay_status probe(const OrtApi *api, const struct assay_ort_provider *provider, struct assay_error *err)
{
    OrtEnv *env = NULL;
    OrtSessionOptions *options = NULL;
    OrtSession *session = NULL;
    void *model = NULL;
    size_t size = 0;
    enum assay_status st = tiny_model(&model, &size, err);
    if (!st)
        st = assay_ort_status(api, api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "assay", &env), ASSAY_ABSENT, "start", err);
    if (!st)
        st = assay_ort_status(api, api->CreateSessionOptions(&options), ASSAY_ABSENT, "start", err);
    if (!st)
        st = assay_ort_append(api, options, provider, NULL, NULL, 0, err);
    if (!st)
        st = assay_ort_status(api, api->AddSessionConfigEntry(options, "session.disable_cpu_ep_fallback", "1"), ASSAY_ABSENT,
                              "start", err);
    if (!st)
        st = assay_ort_status(api, api->CreateSessionFromArray(env, model, size, options, &session), ASSAY_ABSENT,
                              provider->provider, err);
    if (session)
        api->ReleaseSession(session);
    if (options)
        api->ReleaseSessionOptions(options);
    if (env)
        api->ReleaseEnv(env);
    free(model);
    return st;
}

struct probe_question {
    const OrtApi *api;
    const struct assay_ort_provider *provider;
};

static void probe_in_child(const void *context, void *answer)
{
    const struct probe_question *question = context;
    struct assay_error *err = answer;
    if (probe(question->api, question->provider, err) == ASSAY_OK)
        err->status = ASSAY_OK;
}

/* Why the provider does not work here, from the arena; "" if it does. A provider's driver may crash or hang, so a child process
 * tries. */
static const char *provider_reason(const OrtApi *api, const struct assay_ort_provider *provider, struct assay_arena *arena)
{
    static const int64_t TIME_LIMIT_NS = INT64_C(30000000000);
    struct probe_question question = {api, provider};
    struct assay_error answer = {0}, err;
    if (assay_isolate(probe_in_child, &question, &answer, sizeof answer, TIME_LIMIT_NS, &err))
        return assay_arena_printf(arena, "asked in a process of its own whether it works, %s", err.message);
    return answer.status ? assay_arena_strdup(arena, answer.message) : "";
}

static void add_platform(struct assay_platform_list *platforms, const struct assay_ort_provider *provider, const char *version,
                         const char *reason)
{
    assay_platform_add(platforms, &(struct assay_platform){
                                      .name = assay_ort_platform_name(platforms->arena, provider),
                                      .device = provider->device,
                                      .runtime = "onnxruntime",
                                      .variant = provider->variant,
                                      .version = version,
                                      .available = !*reason,
                                      .reason = reason,
                                  });
}

static void list(struct assay_platform_list *platforms)
{
    struct assay_ort_library library;
    struct assay_error err;
    char **providers = NULL;
    int n = 0;
    struct assay_ort_provider cpu = assay_ort_provider_of(platforms->arena, "CPUExecutionProvider");
    if (assay_ort_open(&library, &err)) {
        add_platform(platforms, &cpu, "", assay_arena_strdup(platforms->arena, err.message));
        return;
    }
    const char *version = assay_arena_strdup(platforms->arena, library.version);
    if (assay_ort_status(library.api, library.api->GetAvailableProviders(&providers, &n), ASSAY_ABSENT, "providers", &err)) {
        add_platform(platforms, &cpu, version, assay_arena_strdup(platforms->arena, err.message));
        return;
    }
    for (int i = n - 1; i >= 0; i--) { /* the CPU's comes last there, first here */
        struct assay_ort_provider provider = assay_ort_provider_of(platforms->arena, providers[i]);
        const char *name = assay_ort_platform_name(platforms->arena, &provider), *reason = "";
        if (*provider.append && (!platforms->only || strcmp(platforms->only, name) == 0))
            reason = provider_reason(library.api, &provider, platforms->arena);
        add_platform(platforms, &provider, version, reason);
    }
    assay_ort_status(library.api, library.api->ReleaseAvailableProviders(providers, n), ASSAY_ABSENT, "providers", &err);
}

/* ---- compile */

static enum assay_status check_options(const struct assay_compile_options *options, struct assay_error *err)
{
    for (size_t i = 0; i < options->n_options; i++) {
        const char *name = options->options[i].name;
        if (strncmp(name, "session.", 8) != 0 && strncmp(name, "ep.", 3) != 0 && strcmp(name, "cpu-fallback") != 0)
            return assay_error_set(err, ASSAY_INVALID,
                                   "onnxruntime has no option '%s'; there are session.KEY, ep.KEY and cpu-fallback", name);
    }
    if (options->isa && *options->isa)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "ONNX Runtime chooses the instruction set itself ('%s' was asked for)",
                               options->isa);
    return ASSAY_OK;
}

static enum assay_status set_options(struct assay_program *p, OrtSessionOptions *session,
                                     const struct assay_compile_options *options, const struct assay_ort_provider *provider,
                                     struct assay_error *err)
{
    static const GraphOptimizationLevel levels[] = {ORT_DISABLE_ALL, ORT_ENABLE_BASIC, ORT_ENABLE_EXTENDED, ORT_ENABLE_ALL};
    const OrtApi *api = p->api;
    int level = options->optimization < 0 ? 0 : options->optimization > 3 ? 3 : options->optimization;
    bool fallback = !*provider->append && !options->ep_library;
    const char **keys = assay_arena_array(&p->arena, options->n_options, sizeof *keys);
    const char **values = assay_arena_array(&p->arena, options->n_options, sizeof *values);
    size_t n_provider = 0;
    OrtStatus *status = api->SetIntraOpNumThreads(session, options->n_threads);
    if (!status)
        status = api->SetInterOpNumThreads(session, 1);
    if (!status)
        status = api->SetSessionExecutionMode(session, ORT_SEQUENTIAL);
    if (!status)
        status = api->SetSessionGraphOptimizationLevel(session, levels[level]);
    if (!status && options->profile)
        status = api->EnableProfiling(session, assay_path_join(&p->arena, p->profile_folder, "trace"));
    for (size_t i = 0; !status && i < options->n_options; i++) {
        const struct assay_option *o = &options->options[i];
        if (strncmp(o->name, "session.", 8) == 0) {
            status = api->AddSessionConfigEntry(session, o->name, o->value);
        } else if (strncmp(o->name, "ep.", 3) == 0) {
            keys[n_provider] = o->name + 3;
            values[n_provider++] = o->value;
        } else {
            fallback = strcmp(o->value, "0") != 0;
        }
    }
    if (!status && !fallback)
        status = api->AddSessionConfigEntry(session, "session.disable_cpu_ep_fallback", "1");
    if (status)
        return assay_ort_status(api, status, ASSAY_INVALID, "session options", err);
    if (options->ep_library)
        return ASSAY_OK;
    return assay_ort_append(api, session, provider, keys, values, n_provider, err);
}

/* All devices that the plug-in library offers. */
static enum assay_status append_library(struct assay_program *p, OrtSessionOptions *session, const char *file,
                                        struct assay_error *err)
{
    const OrtApi *api = p->api;
    const OrtEpDevice *const *before = NULL, *const *after = NULL;
    size_t n_before = 0, n_after = 0;
    enum assay_status st = assay_ort_status(api, api->GetEpDevices(p->env, &before, &n_before), ASSAY_ABSENT, "devices", err);
    if (!st)
        st = assay_ort_status(api, api->RegisterExecutionProviderLibrary(p->env, "assay-ep", file), ASSAY_ABSENT, file, err);
    if (!st)
        st = assay_ort_status(api, api->GetEpDevices(p->env, &after, &n_after), ASSAY_ABSENT, "devices", err);
    if (st)
        return st;
    if (n_after <= n_before)
        return assay_error_set(err, ASSAY_ABSENT, "the provider library %s finds no device here", file);
    /* New devices come after those of the built-in providers; one session takes those of one provider. */
    size_t n = 1;
    const char *name = api->EpDevice_EpName(after[n_before]);
    while (n_before + n < n_after && strcmp(api->EpDevice_EpName(after[n_before + n]), name) == 0)
        n++;
    return assay_ort_status(api,
                            api->SessionOptionsAppendExecutionProvider_V2(session, p->env, after + n_before, n, NULL, NULL, 0),
                            ASSAY_ABSENT, file, err);
}

static enum assay_status make_value(struct assay_program *p, const struct assay_tensor *t, OrtValue **value,
                                    struct assay_error *err)
{
    if (*value)
        p->api->ReleaseValue(*value);
    *value = NULL;
    OrtStatus *status = p->api->CreateTensorWithDataAsOrtValue(p->memory, t->data, (size_t)assay_tensor_bytes(t), t->type.dims,
                                                               (size_t)t->type.rank, (ONNXTensorElementDataType)t->type.dtype,
                                                               value); /* ONNX's numbers both */
    return assay_ort_status(p->api, status, ASSAY_CRASHED, "input", err);
}

/* Gives large constants by pointer; those of bodies stay in the message. */
static enum assay_status share_constants(struct assay_program *p, OrtSessionOptions *session, int64_t from_bytes,
                                         struct assay_error *err)
{
    const struct assay_graph *graph = p->graph;
    const char **names = assay_arena_array(&p->arena, (size_t)graph->n_values, sizeof *names);
    p->constants = assay_arena_array(&p->arena, (size_t)graph->n_values, sizeof *p->constants);
    for (int v = 0; v < graph->n_values; v++) {
        const struct assay_tensor *t = &graph->values[v].constant;
        if (!t->data || p->graph->values[v].is_inferred || assay_tensor_bytes(t) < from_bytes)
            continue;
        names[p->n_constants] = graph->values[v].name;
        enum assay_status st = make_value(p, t, &p->constants[p->n_constants], err);
        if (st)
            return st;
        p->n_constants++;
    }
    return assay_ort_status(
        p->api, p->api->AddExternalInitializers(session, names, (const OrtValue *const *)p->constants, p->n_constants),
        ASSAY_UNSUPPORTED, "weights", err);
}

static int64_t constant_bytes(const struct assay_graph *graph)
{
    int64_t sum = 0;
    for (int v = 0; v < graph->n_values; v++)
        if (graph->values[v].constant.data && !graph->values[v].is_inferred)
            sum += assay_tensor_bytes(&graph->values[v].constant);
    return sum;
}

static enum assay_status make_session(struct assay_program *p, OrtSessionOptions *session_options, struct assay_error *err)
{
    void *model = NULL;
    size_t size = 0;
    int64_t from_bytes = constant_bytes(p->graph) > EMBED_LIMIT_BYTES ? 4096 : 0;
    enum assay_status st = ASSAY_OK;
    if (from_bytes)
        st = share_constants(p, session_options, from_bytes, err);
    if (!st)
        st = assay_onnx_serialize(p->graph, from_bytes, &model, &size, err);
    if (!st) /* by its own word, this platform cannot do this model */
        st = assay_ort_status(p->api, p->api->CreateSessionFromArray(p->env, model, size, session_options, &p->session),
                              ASSAY_UNSUPPORTED, "compile", err);
    free(model);
    return st;
}

static void release(struct assay_program *p)
{
    if (!p)
        return;
    for (int i = 0; p->inputs && i < p->graph->n_inputs; i++)
        if (p->inputs[i])
            p->api->ReleaseValue(p->inputs[i]);
    for (int i = 0; p->outputs && i < p->graph->n_outputs; i++)
        if (p->outputs[i])
            p->api->ReleaseValue(p->outputs[i]);
    if (p->session)
        p->api->ReleaseSession(p->session);
    for (size_t i = 0; i < p->n_constants; i++)
        p->api->ReleaseValue(p->constants[i]);
    if (p->memory)
        p->api->ReleaseMemoryInfo(p->memory);
    if (p->env)
        p->api->ReleaseEnv(p->env);
    struct assay_error ignored;
    if (p->profile_folder)
        assay_fs_remove(p->profile_folder, &ignored);
    assay_graph_close(p->standard);
    assay_arena_release(&p->arena);
    free(p);
}

static void name_inputs_and_outputs(struct assay_program *p)
{
    const struct assay_graph *graph = p->graph;
    p->inputs = assay_arena_array(&p->arena, (size_t)graph->n_inputs, sizeof *p->inputs);
    p->outputs = assay_arena_array(&p->arena, (size_t)graph->n_outputs, sizeof *p->outputs);
    p->input_names = assay_arena_array(&p->arena, (size_t)graph->n_inputs, sizeof *p->input_names);
    p->output_names = assay_arena_array(&p->arena, (size_t)graph->n_outputs, sizeof *p->output_names);
    for (int i = 0; i < graph->n_inputs; i++)
        p->input_names[i] = graph->values[graph->inputs[i]].name;
    for (int i = 0; i < graph->n_outputs; i++)
        p->output_names[i] = graph->values[graph->outputs[i]].name;
}

/* The provider behind a platform's device and variant. */
static enum assay_status find_provider(struct assay_program *p, const struct assay_platform *platform,
                                       struct assay_ort_provider *provider, struct assay_error *err)
{
    char **names = NULL;
    int n = 0;
    enum assay_status st = assay_ort_status(p->api, p->api->GetAvailableProviders(&names, &n), ASSAY_ABSENT, "providers", err);
    if (st)
        return st;
    st = assay_error_set(err, ASSAY_ABSENT, "this ONNX Runtime has no provider for %s", platform->name);
    for (int i = 0; i < n; i++) {
        struct assay_ort_provider one = assay_ort_provider_of(&p->arena, names[i]);
        if (strcmp(one.device, platform->device) == 0 && strcmp(one.variant, platform->variant) == 0) {
            *provider = one;
            st = ASSAY_OK;
        }
    }
    struct assay_error ignored;
    assay_ort_status(p->api, p->api->ReleaseAvailableProviders(names, n), ASSAY_ABSENT, "providers", &ignored);
    return st;
}

/* Ops of the domain "assay" become standard ones, and so does the training mode of norms. */
static enum assay_status standardize(struct assay_program *p, struct assay_error *err)
{
    bool has_own = false;
    for (int i = 0; i < p->given->n_nodes; i++)
        has_own |= strcmp(p->given->nodes[i]->domain, "assay") == 0 || assay_node_int(p->given->nodes[i], "training_mode", 0);
    if (!has_own)
        return ASSAY_OK;
    p->graph = p->standard = assay_graph_clone(p->given);
    return assay_graph_expand(p->standard, NULL, err);
}

static enum assay_status compile(const struct assay_graph *graph, const struct assay_compile_options *options,
                                 struct assay_program **program, struct assay_error *err)
{
    struct assay_ort_library library;
    struct assay_ort_provider provider;
    OrtSessionOptions *session_options = NULL;
    enum assay_status st = check_options(options, err);
    if (!st)
        st = assay_ort_open(&library, err);
    if (st)
        return st;
    struct assay_program *p = assay_alloc(sizeof *p);
    assay_arena_init(&p->arena);
    p->api = library.api;
    p->given = p->graph = graph;
    st = standardize(p, err);
    if (!st)
        st = find_provider(p, options->platform, &provider, err);
    if (st)
        goto done;
    if (options->profile) {
        char *folder = NULL;
        st = assay_fs_temporary_folder(&p->arena, &folder, err);
        if (st)
            goto done;
        p->profile_folder = folder;
    }
    st = assay_ort_status(p->api, p->api->CreateEnv(ORT_LOGGING_LEVEL_FATAL, "assay", &p->env), ASSAY_CRASHED, "start", err);
    if (!st)
        st = assay_ort_status(p->api, p->api->DisableTelemetryEvents(p->env), ASSAY_CRASHED, "start", err);
    if (!st)
        st = assay_ort_status(p->api, p->api->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &p->memory),
                              ASSAY_CRASHED, "start", err);
    if (!st)
        st = assay_ort_status(p->api, p->api->GetAllocatorWithDefaultOptions(&p->allocator), ASSAY_CRASHED, "start", err);
    if (!st)
        st = assay_ort_status(p->api, p->api->CreateSessionOptions(&session_options), ASSAY_CRASHED, "start", err);
    if (!st)
        st = set_options(p, session_options, options, &provider, err);
    if (!st && options->ep_library)
        st = append_library(p, session_options, options->ep_library, err);
    if (!st)
        st = make_session(p, session_options, err);
    if (st)
        goto done;
    name_inputs_and_outputs(p);
    *program = p;
    p = NULL;
done:
    if (session_options)
        library.api->ReleaseSessionOptions(session_options);
    release(p);
    return st;
}

/* ---- run */

static enum assay_status bind(struct assay_program *p, const struct assay_tensor *inputs, struct assay_error *err)
{
    enum assay_status st = assay_bind_check(p->graph, inputs, p->is_bound, err);
    if (st)
        return st;
    for (int i = 0; !st && i < p->graph->n_inputs; i++)
        if (inputs[i].data)
            st = make_value(p, &inputs[i], &p->inputs[i], err);
    p->is_bound = !st;
    return st;
}

/* An output that is a state becomes the input of the next run; the old input is given back with the outputs. */
static void move_states(struct assay_program *p)
{
    for (int s = 0; s < p->graph->n_states; s++) {
        const struct assay_state *state = &p->graph->states[s];
        OrtValue *old = p->inputs[state->input];
        p->inputs[state->input] = p->outputs[state->output];
        p->outputs[state->output] = old;
    }
}

static enum assay_status run(struct assay_program *p, struct assay_error *err)
{
    const struct assay_graph *graph = p->graph;
    for (int i = 0; i < graph->n_outputs; i++) {
        if (p->outputs[i])
            p->api->ReleaseValue(p->outputs[i]);
        p->outputs[i] = NULL;
    }
    OrtStatus *status = p->api->Run(p->session, NULL, p->input_names, (const OrtValue *const *)p->inputs, (size_t)graph->n_inputs,
                                    p->output_names, (size_t)graph->n_outputs, p->outputs);
    if (status)
        return assay_ort_status(p->api, status, ASSAY_CRASHED, "run", err);
    move_states(p);
    return ASSAY_OK;
}

/* The value that holds output `index`: after a run, a state's is the input's. */
static OrtValue *output_value(const struct assay_program *p, int index)
{
    for (int s = 0; s < p->graph->n_states; s++)
        if (p->graph->states[s].output == index)
            return p->inputs[p->graph->states[s].input];
    return p->outputs[index];
}

static enum assay_status output(struct assay_program *p, int index, struct assay_tensor *tensor, struct assay_error *err)
{
    OrtTensorTypeAndShapeInfo *info = NULL;
    ONNXTensorElementDataType dtype = ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED;
    struct assay_type type = {0};
    size_t rank = 0;
    void *data = NULL;
    int is_tensor = 0;
    OrtValue *value = output_value(p, index);
    if (!value)
        return assay_error_set(err, ASSAY_INVALID, "output %d was asked for before a run", index);
    OrtStatus *status = p->api->IsTensor(value, &is_tensor);
    if (!status && !is_tensor)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "output '%s' is no tensor", p->output_names[index]);
    if (!status)
        status = p->api->GetTensorTypeAndShape(value, &info);
    if (!status)
        status = p->api->GetTensorElementType(info, &dtype);
    if (!status)
        status = p->api->GetDimensionsCount(info, &rank);
    if (!status && rank <= ASSAY_MAX_RANK)
        status = p->api->GetDimensions(info, type.dims, rank);
    if (!status)
        status = p->api->GetTensorMutableData(value, &data);
    if (info)
        p->api->ReleaseTensorTypeAndShapeInfo(info);
    if (status)
        return assay_ort_status(p->api, status, ASSAY_CRASHED, "output", err);
    type.dtype = (enum assay_dtype)dtype;
    type.rank = (int)rank;
    if (rank > ASSAY_MAX_RANK || assay_dtype_size(type.dtype) == 0)
        return assay_error_set(err, ASSAY_UNSUPPORTED, "output '%s' has rank %zu and type %s", p->output_names[index], rank,
                               assay_dtype_word((int)dtype));
    static const char nothing[1];
    assay_tensor_borrow(tensor, &type, data ? data : nothing);
    return ASSAY_OK;
}

static enum assay_status profile(struct assay_program *p, const struct assay_op_time **times, int *n_times,
                                 struct assay_error *err)
{
    char *file = NULL;
    struct assay_op_time *found = NULL;
    enum assay_status st =
        assay_ort_status(p->api, p->api->SessionEndProfiling(p->session, p->allocator, &file), ASSAY_CRASHED, "profile", err);
    if (st)
        return st;
    st = assay_ort_read_profile(file, &p->arena, p->given, &found, n_times, err);
    OrtStatus *status = p->api->AllocatorFree(p->allocator, file);
    if (!st)
        st = assay_ort_status(p->api, status, ASSAY_CRASHED, "profile", err);
    *times = found;
    return st;
}

const struct assay_runtime assay_runtime_onnxruntime = {
    .name = "onnxruntime",
    .list = list,
    .check_options = check_options,
    .compile = compile,
    .bind = bind,
    .run = run,
    .output = output,
    .profile = profile,
    .release = release,
};
