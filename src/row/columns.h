/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The one list of a result row's columns: X(name, KIND, "unit", "what it says"). Columns are only ever added, at the end of their
 * group; a name is never given a second meaning. Units are in the names.
 */
#ifndef ASSAY_ROW_COLUMNS_H
#define ASSAY_ROW_COLUMNS_H

#define ASSAY_COLUMNS(X)                                                                                                         \
    /* identity */                                                                                                               \
    X(result_id, TEXT, "", "Unique id of this row: the first 32 digits of a hash of run, case and time.")                        \
    X(run_id, TEXT, "", "The run of `assay bench` (or import) that made it.")                                                    \
    X(schema_version, INT, "", "Version of this list.")                                                                          \
    X(time, TIME, "", "When the case started, UTC.")                                                                             \
    X(assay_version, TEXT, "", "Version of assay, with the git commit if known.")                                                \
    X(provenance, TEXT, "", "measured, emulated, published or predicted.")                                                       \
    X(source, TEXT, "", "Where a published figure was taken from; null if measured.")                                            \
    X(repro_command, TEXT, "", "The command line that repeats this row.")                                                        \
    X(case_id, TEXT, "", "Hash of the case and of where it ran (not of time): equal for repetitions of the same measurement.")   \
    /* where */                                                                                                                  \
    X(host, TEXT, "", "Host name.")                                                                                              \
    X(platform, TEXT, "", "Device, runtime and variant: cpu/onnxruntime.")                                                       \
    X(device, TEXT, "", "cpu, cuda:0, …")                                                                                        \
    X(device_name, TEXT, "", "What the device calls itself: AMD EPYC 9R14.")                                                     \
    X(device_kind, TEXT, "", "cpu, gpu, dsp, browser.")                                                                          \
    X(device_vendor, TEXT, "", "AuthenticAMD, GenuineIntel, NVIDIA, …")                                                          \
    X(device_cores, INT, "", "Physical cores (or multiprocessors) of the device.")                                               \
    X(device_memory_bytes, INT, "bytes", "Memory of the device.")                                                                \
    X(device_isa, TEXT, "", "Instruction set features that matter, space-separated.")                                            \
    X(driver_version, TEXT, "", "Driver of the device; for a CPU the kernel's version.")                                         \
    X(runtime, TEXT, "", "reference, native, onnxruntime, …")                                                                    \
    X(runtime_version, TEXT, "", "Its version.")                                                                                 \
    X(variant, TEXT, "", "Execution provider, adapter or ISA tier; null if there is only one.")                                  \
    X(virtualization, TEXT, "", "Hypervisor's name, `none` on bare metal.")                                                      \
    /* what */                                                                                                                   \
    X(model, TEXT, "", "The model's name: its file's name without .onnx, or the preset's.")                                      \
    X(model_id, TEXT, "", "Hash of the model's content, 64 hexadecimal digits.")                                                 \
    X(family, TEXT, "", "bert, vit, whisper, …; null if it is not recognised.")                                                  \
    X(modality, TEXT, "", "text, vision, audio, multimodal; null if it is not recognised.")                                      \
    X(parameters, INT, "", "Number of weights.")                                                                                 \
    X(flops, REAL, "FLOP", "Floating-point (or integer) operations of one run at this shape, a multiply-add being two.")         \
    X(bytes, REAL, "bytes", "Bytes that the ops read and write in one run, each op by itself.")                                  \
    X(weights, TEXT, "", "`file` or `random`: where the weights came from.")                                                     \
    /* case */                                                                                                                   \
    X(mode, TEXT, "", "inference or training.")                                                                                  \
    X(scenario, TEXT, "", "single-stream, multi-stream, offline or server, as MLPerf defines them.")                             \
    X(precision, TEXT, "", "f32, f16, bf16, int8, …")                                                                            \
    X(batch, INT, "", "Samples in one run.")                                                                                     \
    X(shape, TEXT, "", "Input shapes, as name=1x3x224x224 separated by spaces.")                                                 \
    X(threads, INT, "", "Threads of the runtime.")                                                                               \
    X(isa, TEXT, "", "Instruction set tier asked for; null = the best.")                                                         \
    X(suite, TEXT, "", "The suite that the case came from; null = the command line.")                                            \
    X(inputs, TEXT, "", "How the inputs were made: kind per input, generator and seed, or the files' hash.")                     \
    X(new_tokens, INT, "", "Tokens generated for each sample of a request; null = a run is one forward pass.")                   \
    X(optimizer, TEXT, "", "Training: the optimizer with its options; null in mode inference.")                                  \
    /* outcome */                                                                                                                \
    X(status, TEXT, "", "ok, unsupported, no_memory, mismatch, timeout, crashed.")                                               \
    X(reason, TEXT, "", "One sentence, if the status is not ok.")                                                                \
    X(check_against, TEXT, "",                                                                                                   \
      "The platform whose outputs these were compared with; null if there was no check (the reason is in check_note).")          \
    X(check_note, TEXT, "", "How the comparison was made, or why there was none.")                                               \
    X(error_max_abs, REAL, "", "Largest absolute difference of any output element.")                                             \
    X(error_max_rel, REAL, "", "Largest difference over the largest magnitude of its tensor.")                                   \
    X(tolerance, REAL, "", "What error_max_rel may be.")                                                                         \
    /* figures */                                                                                                                \
    X(samples_ns, REALS, "ns",                                                                                                   \
      "Every timed run, in order: wall time, or in scenario server the latency from the scheduled time.")                        \
    X(n_samples, INT, "", "Number of samples.")                                                                                  \
    X(latency_median_ns, REAL, "ns", "Median of the samples.")                                                                   \
    X(latency_low_ns, REAL, "ns", "Lower end of the 95 % interval of the median; null if n is too small for one.")               \
    X(latency_high_ns, REAL, "ns", "Upper end.")                                                                                 \
    X(latency_mean_ns, REAL, "ns", "Mean of the samples.")                                                                       \
    X(latency_p90_ns, REAL, "ns", "90th percentile; null below 100 samples.")                                                    \
    X(latency_p99_ns, REAL, "ns", "99th percentile; null below 1,000 samples.")                                                  \
    X(latency_min_ns, REAL, "ns", "Smallest sample.")                                                                            \
    X(throughput, REAL, "", "Per second, in throughput_unit.")                                                                   \
    X(throughput_unit, TEXT, "", "samples/s, tokens/s, queries/s.")                                                              \
    X(load_ns, REAL, "ns", "From the file to a compiled program.")                                                               \
    X(first_run_ns, REAL, "ns", "The first run, before any warm-up.")                                                            \
    X(warmup_runs, INT, "", "Runs before the series was steady.")                                                                \
    X(steady, BOOL, "", "Whether warm-up ended because the series was steady (else because its time was up).")                   \
    X(peak_memory_bytes, INT, "bytes",                                                                                           \
      "Largest resident memory of the child process up to the end of measuring, before the reference ran in it.")                \
    X(base_memory_bytes, INT, "bytes", "Resident memory of the child process before it loaded the model.")                       \
    X(runtime_memory_bytes, INT, "bytes", "Peak that the runtime itself reports; null if it does not.")                          \
    X(energy_j, REAL, "J", "Energy of one run; null where nothing meters it.")                                                   \
    X(achieved_flops, REAL, "FLOP/s", "flops over the median.")                                                                  \
    X(peak_flops, REAL, "FLOP/s", "Measured peak of this device at this precision and number of threads.")                       \
    X(peak_share, REAL, "", "achieved_flops over peak_flops.")                                                                   \
    /* noise */                                                                                                                  \
    X(noise_steal_share, REAL, "", "Share of the CPUs' time that the hypervisor took, while measuring.")                         \
    X(noise_other_cpu_share, REAL, "", "Share of the CPUs' time that other processes used, while measuring.")                    \
    X(cpu_wall_ratio, REAL, "", "CPU time of the process over wall time, while measuring; near `threads` if all were busy.")     \
    X(context_switches, INT, "", "Involuntary context switches of the process, while measuring.")                                \
    X(load_before, REAL, "", "One-minute load average before the case.")                                                         \
    X(frequency_before_hz, REAL, "Hz",                                                                                           \
      "Clock of the first CPU used before measuring, by a dependent-add loop; not the kernel's figure.")                         \
    X(frequency_after_hz, REAL, "Hz", "The same after measuring.")                                                               \
    X(noisy, BOOL, "", "The machine was busy: steal or others' CPU share above 5 %.")                                            \
    /* maps: what only some kinds of case have */                                                                                \
    X(metrics, MAP_REAL, "", "Further numbers by name; a name ends in its unit.")                                                \
    X(series, MAP_REALS, "", "Further lists of numbers by name.")                                                                \
    X(environment, MAP_TEXT, "", "Variables set or cleared for the child, versions, affinity.")

#endif
