/* SPDX-License-Identifier: Apache-2.0 */
/* See library.h. */
#include "runtime/onnxruntime/library.h"

#include <ctype.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

enum assay_status assay_ort_open(struct assay_ort_library *library, struct assay_error *err)
{
    const char *chosen = getenv("ASSAY_ONNXRUNTIME");
    const char *const places[] = {
        ASSAY_DEPS_FOLDER "/onnxruntime-node/bin/napi-v6/linux/" ASSAY_NPM_CPU "/libonnxruntime.so.1",
        "libonnxruntime.so.1",
        "libonnxruntime.so",
    };
    void *handle = NULL;
    char complaint[256] = "";
    if (chosen && *chosen)
        handle = dlopen(chosen, RTLD_NOW | RTLD_LOCAL);
    for (size_t i = 0; !handle && !(chosen && *chosen) && i < ASSAY_COUNT(places); i++)
        handle = dlopen(places[i], RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
        const char *text = dlerror();
        strncat(complaint, text ? text : "not found", sizeof complaint - 1);
        return assay_error_set(
            err, ASSAY_ABSENT,
            "its library could not be opened (%s); set ASSAY_ONNXRUNTIME to a libonnxruntime.so or run `make build`", complaint);
    }
    const OrtApiBase *(*get_base)(void) = NULL;
    void *symbol = dlsym(handle, "OrtGetApiBase");
    memcpy(&get_base, &symbol, sizeof get_base); /* ISO C has no cast from object to function pointers */
    if (!get_base)
        return assay_error_set(err, ASSAY_ABSENT, "its library has no OrtGetApiBase");
    const OrtApiBase *base = get_base();
    library->version = base->GetVersionString();
    library->api = base->GetApi(ORT_API_VERSION);
    if (!library->api)
        return assay_error_set(err, ASSAY_ABSENT, "its library (version %s) is too old for API %d", library->version,
                               ORT_API_VERSION);
    return ASSAY_OK;
}

/* LeakSanitizer asks this of the program: ONNX Runtime 1.30 leaks 14 bytes in the first session of a process. Without sanitizers
 * nobody calls it. */
const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void) { return "leak:libonnxruntime.so\n"; }

/* What the sentence says where the code does not. */
static enum assay_status status_from_text(const char *text, enum assay_status otherwise)
{
    static const struct {
        const char *part;
        enum assay_status status;
    } signs[] = {
        {"Failed to allocate memory", ASSAY_NO_MEMORY},
        {"bad_alloc", ASSAY_NO_MEMORY},
        {"out of memory", ASSAY_NO_MEMORY},
        {"Could not find an implementation", ASSAY_UNSUPPORTED},
        {"not implemented", ASSAY_UNSUPPORTED},
        {"not supported", ASSAY_UNSUPPORTED},
    };
    for (size_t i = 0; i < ASSAY_COUNT(signs); i++)
        if (strcasestr(text, signs[i].part))
            return signs[i].status;
    return otherwise;
}

enum assay_status assay_ort_status(const OrtApi *api, OrtStatus *status, enum assay_status otherwise, const char *what,
                                   struct assay_error *err)
{
    if (!status)
        return ASSAY_OK;
    const char *text = api->GetErrorMessage(status);
    enum assay_status st =
        api->GetErrorCode(status) == ORT_NOT_IMPLEMENTED ? ASSAY_UNSUPPORTED : status_from_text(text, otherwise);
    assay_error_set(err, st, "%s: ONNX Runtime says: %s", what, text);
    api->ReleaseStatus(status);
    return st;
}

struct assay_ort_provider assay_ort_provider_of(struct assay_arena *arena, const char *provider)
{
    static const struct assay_ort_provider known[] = {
        {"CPUExecutionProvider", "cpu", "", ""},
        {"CUDAExecutionProvider", "cuda:0", "", "cuda"},
        {"TensorrtExecutionProvider", "cuda:0", "tensorrt", "tensorrt"},
        {"NvTensorRTRTXExecutionProvider", "cuda:0", "tensorrt-rtx", "NvTensorRtRtx"},
        {"WebGpuExecutionProvider", "webgpu", "", "WebGPU"},
        {"XnnpackExecutionProvider", "cpu", "xnnpack", "XNNPACK"},
        {"DnnlExecutionProvider", "cpu", "dnnl", "Dnnl"},
        {"OpenVINOExecutionProvider", "cpu", "openvino", "OpenVINO"},
        {"QNNExecutionProvider", "qnn", "", "QNN"},
        {"CoreMLExecutionProvider", "coreml", "", "CoreML"},
    };
    for (size_t i = 0; i < ASSAY_COUNT(known); i++)
        if (strcmp(known[i].provider, provider) == 0)
            return known[i];
    char *word = assay_arena_strdup(arena, provider);
    char *tail = strstr(word, "ExecutionProvider");
    if (tail)
        *tail = 0;
    char *lower = assay_arena_strdup(arena, word);
    for (char *p = lower; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    return (struct assay_ort_provider){assay_arena_strdup(arena, provider), lower, "", word};
}

const char *assay_ort_platform_name(struct assay_arena *arena, const struct assay_ort_provider *provider)
{
    return assay_arena_printf(arena, "%s/onnxruntime%s%s", provider->device, *provider->variant ? "-" : "", provider->variant);
}

static OrtStatus *append_cuda(const OrtApi *api, OrtSessionOptions *options, const char *const *keys, const char *const *values,
                              size_t n)
{
    OrtCUDAProviderOptionsV2 *cuda = NULL;
    OrtStatus *status = api->CreateCUDAProviderOptions(&cuda);
    if (!status && n)
        status = api->UpdateCUDAProviderOptions(cuda, keys, values, n);
    if (!status)
        status = api->SessionOptionsAppendExecutionProvider_CUDA_V2(options, cuda);
    if (cuda)
        api->ReleaseCUDAProviderOptions(cuda);
    return status;
}

static OrtStatus *append_tensorrt(const OrtApi *api, OrtSessionOptions *options, const char *const *keys,
                                  const char *const *values, size_t n)
{
    OrtTensorRTProviderOptionsV2 *tensorrt = NULL;
    OrtStatus *status = api->CreateTensorRTProviderOptions(&tensorrt);
    if (!status && n)
        status = api->UpdateTensorRTProviderOptions(tensorrt, keys, values, n);
    if (!status)
        status = api->SessionOptionsAppendExecutionProvider_TensorRT_V2(options, tensorrt);
    if (tensorrt)
        api->ReleaseTensorRTProviderOptions(tensorrt);
    return status;
}

enum assay_status assay_ort_append(const OrtApi *api, OrtSessionOptions *options, const struct assay_ort_provider *provider,
                                   const char *const *keys, const char *const *values, size_t n, struct assay_error *err)
{
    OrtStatus *status;
    if (strcmp(provider->append, "") == 0)
        return n ? assay_error_set(err, ASSAY_INVALID, "the CPU provider has no option 'ep.%s'", keys[0]) : ASSAY_OK;
    if (strcmp(provider->append, "cuda") == 0)
        status = append_cuda(api, options, keys, values, n);
    else if (strcmp(provider->append, "tensorrt") == 0)
        status = append_tensorrt(api, options, keys, values, n);
    else
        status = api->SessionOptionsAppendExecutionProvider(options, provider->append, keys, values, n);
    return assay_ort_status(api, status, ASSAY_ABSENT, provider->provider, err);
}
