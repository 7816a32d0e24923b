# SPDX-License-Identifier: Apache-2.0
"""usage: read_events.py WRITE_EVENTS

Runs write_events and reads its files with a reader written from the formats' descriptions (TFRecord, protocol buffers,
TensorFlow's event.proto, summary.proto, histogram.proto) with the standard library alone; then, where Python has the tensorboard
package, with TensorBoard's own loader. Prints each difference and exits 1 if there is one.
"""
import bisect
import glob
import math
import os
import struct
import subprocess
import sys
import tempfile
import time

N_VALUES, N_KILLED, RESUMED, N_STEPS = 1000, 10, 6, 15
differences = []


def check(holds, what):
    if not holds:
        differences.append(what)


def crc32c(data):
    """Bit by bit, from the polynomial."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def masked(crc):
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def records(path):
    with open(path, "rb") as file:
        data = file.read()
    at = 0
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        (length_crc,) = struct.unpack_from("<I", data, at + 8)
        body = data[at + 12 : at + 12 + length]
        (body_crc,) = struct.unpack_from("<I", data, at + 12 + length)
        check(length_crc == masked(crc32c(data[at : at + 8])), f"{path}: checksum of the length at byte {at}")
        check(body_crc == masked(crc32c(body)), f"{path}: checksum of the event at byte {at}")
        yield body
        at += length + 16


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def fields(data):
    """A message as {field number: [values]}; nested messages stay bytes."""
    found, at = {}, 0
    while at < len(data):
        key, at = varint(data, at)
        if key & 7 == 0:
            value, at = varint(data, at)
        elif key & 7 == 1:
            (value,) = struct.unpack_from("<d", data, at)
            at += 8
        elif key & 7 == 2:
            length, at = varint(data, at)
            assert at + length <= len(data)
            value = data[at : at + length]
            at += length
        elif key & 7 == 5:
            (value,) = struct.unpack_from("<f", data, at)
            at += 4
        else:
            raise ValueError(f"wire type {key & 7}")
        found.setdefault(key >> 3, []).append(value)
    return found


def doubles(data):
    return list(struct.unpack(f"<{len(data) // 8}d", data))


def single(value):
    return struct.unpack("<f", struct.pack("<f", value))[0]


def default_limits():
    limits, value = [], 1e-12
    while value < 1e20:
        limits.append(value)
        value *= 1.1
    limits.append(sys.float_info.max)
    return [-limit for limit in reversed(limits)] + [0.0] + limits


def histogram_of(values):
    """What TensorFlow's Histogram::Add and EncodeToProto make of values."""
    limits = default_limits()
    counts = [0.0] * len(limits)
    for value in values:
        counts[bisect.bisect_right(limits, value)] += 1
    out_limits, out_counts, i = [], [], 0
    while i < len(limits):
        end, count = limits[i], counts[i]
        i += 1
        if count <= 0:
            while i < len(limits) and counts[i] <= 0:
                end, count = limits[i], counts[i]
                i += 1
        out_limits.append(end)
        out_counts.append(count)
    return out_limits, out_counts


def weights(step):
    return [single(single(i - 300) * single(step + 1)) / 64 for i in range(N_VALUES)]


def check_histogram(data, values, what):
    message = fields(data)
    limits, counts = histogram_of(values)
    check(doubles(message[6][0]) == limits, f"{what}: limits of the buckets")
    check(doubles(message[7][0]) == counts, f"{what}: counts of the buckets")
    wanted = [min(values), max(values), len(values), math.fsum(values), math.fsum(v * v for v in values)] if values else [0] * 5
    for field in range(1, 6):
        got = message[field][0]
        # The sums are added up in order, so they differ from exact ones by rounding.
        near = 0 if field < 4 else 1e-12 * math.fsum(abs(v) ** (field - 3) for v in values)
        check(abs(got - wanted[field - 1]) <= near, f"{what}: field {field} is {got}, wanted {wanted[field - 1]}")


def check_event(event, first, what):
    """A summary of steps or edges; first: the step that this part of the run began with."""
    step = event[2][0]
    summary = fields(event[5][0])
    check(len(summary[1]) == 1, f"{what}: values in a summary")
    value = fields(summary[1][0])
    tag = value[1][0].decode("utf-8")
    if tag == "loss/train":
        check(value[2][0] == single(first + 1 / (step + 1)), f"{what}: {tag} of step {step}")
    elif tag == "weights/dense":
        check_histogram(value[5][0], weights(step), f"{what}: {tag} of step {step}")
    elif tag == "edge/odd":
        check_histogram(value[5][0], [single(v) for v in (1e30, -1e30, 0, 1e-30)], f"{what}: {tag}")
    elif tag == "edge/none":
        check_histogram(value[5][0], [], f"{what}: {tag}")
    else:
        wanted = [0.0, -0.0, math.inf, -math.inf, math.nan, math.inf, 3.5][step >> 40]
        got = value[2][0]
        check(tag == "edge/scälar" and struct.pack("<f", got)[3] & 0x7F == struct.pack("<f", wanted)[3] & 0x7F, f"{what}: {tag}")
        check(got == wanted or math.isnan(got) and math.isnan(wanted), f"{what}: {tag} is {got}, wanted {wanted}")
    return tag


def check_files(folder):
    paths = sorted(glob.glob(os.path.join(folder, "events.out.tfevents.*")))
    check(len(paths) == 2, f"{len(paths)} files, wanted 2")
    for part, path in enumerate(paths):
        events = [fields(body) for body in records(path)]
        first = RESUMED if part else 0
        check(events[0][3] == [b"brain.Event:2"], f"{path}: version")
        for event in events:
            check(abs(event[1][0] - time.time()) < 600, f"{path}: wall time {event[1][0]}")
        check(events[1].get(2, [0]) == [first] and fields(events[1][7][0]) == {1: [1]}, f"{path}: session start")
        rest = events[2:]
        tags = [check_event(event, first, path) for event in rest]
        n = N_STEPS - RESUMED if part else N_KILLED
        check(tags.count("loss/train") == n and tags.count("weights/dense") == n, f"{path}: {tags}")
        check(len(tags) == 2 * n + (9 if part else 0), f"{path}: {len(tags)} events")


def check_with_tensorboard(folder):
    try:
        from tensorboard import version
        from tensorboard.backend.event_processing import event_accumulator
    except ImportError as error:
        print(f"  TensorBoard's own loader was not tried: {error}")
        return
    accumulator = event_accumulator.EventAccumulator(folder, size_guidance={"scalars": 0, "histograms": 0, "tensors": 0})
    accumulator.Reload()
    tags = accumulator.Tags()
    check(set(tags["scalars"]) == {"loss/train", "edge/scälar"}, f"TensorBoard's scalars: {tags['scalars']}")
    check(set(tags["histograms"]) == {"weights/dense", "edge/odd", "edge/none"}, f"TensorBoard's histograms: {tags['histograms']}")
    losses = accumulator.Scalars("loss/train")
    # Steps 6 to 9 of the killed part are gone, those of the resumed one stand.
    check([event.step for event in losses] == list(range(N_STEPS)), "TensorBoard's steps")
    for event in losses:
        first = RESUMED if event.step >= RESUMED else 0
        check(event.value == single(first + 1 / (event.step + 1)), f"TensorBoard's loss of step {event.step}")
    for event in accumulator.Histograms("weights/dense"):
        value = event.histogram_value
        check(value.num == N_VALUES and (value.bucket_limit, value.bucket) == tuple(histogram_of(weights(event.step))),
              f"TensorBoard's histogram of step {event.step}")
    print(f"  TensorBoard {version.VERSION} reads the same")


def main():
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.argv[1], folder], check=True)
        check_files(folder)
        check_with_tensorboard(folder)
    for difference in differences:
        print(difference)
    print(f"{len(differences)} differences")
    return 1 if differences else 0


sys.exit(main())
