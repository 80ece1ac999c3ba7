"""Writes listed images to TFRecord shards: in parallel, and resuming after a kill with all finished shards."""

from __future__ import annotations

import functools
import itertools
import logging
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from mnext_tf import files
from mnext_tf.data import class_matching, image_files, tfrecord
from mnext_tf.data.prepare_state import PrepareState, locked, read_record
from mnext_tf.data.shard_plan import Measured, Shard, measure, plan
from mnext_tf.data.sources.listing import ImageListing, ListedImage
from mnext_tf.errors import ConfigError, DataError
from mnext_tf.text import path_text

_log = logging.getLogger(__name__)

SHARD_BYTES = 128 << 20
_LABEL_OFFSET = 1  # TF-slim's
_AHEAD = 8  # encoded images per thread that are in memory at once


def prepare(
    listing: ImageListing,
    out: str | Path,
    *,
    shard_bytes: int = SHARD_BYTES,
    seed: int = 0,
    workers: int | None = None,
    force: bool = False,
    measured: Measured | None = None,
    max_pixels: int = image_files.MAX_PIXELS,
) -> dict:
    """Write the listing to `out` as shards and dataset.json, and return the content of dataset.json.

    The shards follow from the listing, `shard_bytes`, `seed` and `max_pixels` alone, on any machine and
    with any number of `workers` (threads; None: one per core). A shard appears whole, with a record of
    its content in a hidden folder; started again after a kill, the same call keeps finished shards and
    ends with the same bytes. Damaged files and images of more than `max_pixels` are left out and listed.

    Raises DataError where another listing or other settings were begun or finished in `out` (`force`
    removes those), another process writes there, a split is empty, a class loses all its training
    images, more than half of the files are unusable, reading fails (a disk's or network's error, or a
    file that has gone since it was measured), or the disk is full. Finished shards stay in each case.
    """
    import tensorflow as tf

    out, workers = Path(out), workers or os.cpu_count() or 1
    if shard_bytes < 1 or workers < 1:
        raise ConfigError(f"shard_bytes and workers must be at least 1; received {shard_bytes} and {workers}.")
    if empty := [split for split in tfrecord.SPLITS if not listing.splits.get(split)]:
        raise DataError(f"{listing.root} has no {empty[0]} images; add some.")
    measured = measured or measure(listing)
    limit = {} if max_pixels == image_files.MAX_PIXELS else {"max_pixels": max_pixels}
    settings = {"snapshot": measured.snapshot, "shard_bytes": shard_bytes, "seed": seed, **limit}
    source = files.sha256_of([measured.source, shard_bytes, seed, *limit.values()])
    try:
        with locked(out) as state:
            if record := _begin(state, settings, source, force):
                _log.info(f"{out} is complete already; nothing to do.{_if_touched(record, measured)}")
                return record
            digests = {"source": source, "snapshot": measured.snapshot}
            shards = plan(listing, measured, shard_bytes, seed)
            return _write(listing, shards, state, digests, workers, max_pixels)
    except (OSError, tf.errors.OpError) as error:
        raise DataError(
            f"The shards could not be written to {out}: {tfrecord.why_not_written(error)}. Free some space, or "
            "fix the permissions, and start again: finished shards are kept."
        ) from error


def _begin(state: PrepareState, settings: dict, source: str, force: bool) -> dict | None:
    """Make `state` ready for writing; returns the content of dataset.json where all is written already."""
    out, sidecar = state.out, state.out / tfrecord.SIDECAR
    state.sweep()
    if force:
        state.discard()
    if sidecar.exists():
        record = read_record(sidecar)
        if record.get("source") == source:
            state.done()
            return record
        raise DataError(
            f"{out} holds another data set, or one made with other settings. Choose another folder, or start over "
            "with --force."
        )
    begun = state.settings
    if begun is not None and begun != settings:
        raise DataError(
            f"{out} is half written from other files or with other settings, or the files have changed since. "
            "Choose another folder, or start over with --force."
        )
    if begun is None and (shards := state.shards()):
        raise DataError(
            f"{out} holds shards of another origin, {shards[0].name} for example. Choose another folder, or start over "
            "with --force."
        )
    state.begin(settings)
    return None


def _if_touched(record: dict, measured: Measured) -> str:
    """A remark for files with the names, labels and sizes of `record`, and other times: those of a copy, perhaps."""
    if record.get("snapshot") in (None, measured.snapshot):
        return ""
    return (
        " It holds the images as they were when it was written. Their modification times have changed since, their "
        "names and sizes have not: if they were copied or moved, all is well; if they were edited, start over with "
        "--force."
    )


def _write(
    listing: ImageListing, shards: list[Shard], state: PrepareState, digests: dict, workers: int, max_pixels: int
) -> dict:
    from tqdm import tqdm

    total = sum(len(shard.images) for shard in shards)
    synsets = class_matching.synsets(listing.class_names)
    records = {shard.name: state.finished(shard.name) for shard in shards}
    kept = sum(len(shard.images) for shard in shards if records[shard.name])
    started, damaged = time.monotonic(), sum(len(record["skipped"]) for record in records.values() if record)
    damaged_before = damaged
    if kept:
        _log.info(f"{state.out}: resuming, {kept} of {total} images are written already.")
    pool = ThreadPoolExecutor(workers)
    try:
        with tqdm(total=total, initial=kept, desc="writing shards", unit="image", disable=None) as bar:
            for shard in shards:
                if records[shard.name] is None:
                    read = functools.partial(_read, listing, max_pixels=max_pixels)
                    images = _examples(read, listing, shard, pool, workers, total, damaged, bar)
                    records[shard.name] = _write_shard(images, state, shard, synsets)
                    damaged += len(records[shard.name]["skipped"])
        summaries = _summaries(listing, shards, records)
    except _Unusable as error:
        if state.shards():
            kept = f"Finished shards are kept in {state.out}; once the images are repaired, start over with --force."
            raise DataError(f"{error}\n{kept}") from None
        state.discard()
        raise DataError(str(error)) from None
    finally:
        pool.shutdown(cancel_futures=True)
    if kept < total:
        seconds = time.monotonic() - started
        written = total - kept - (damaged - damaged_before)
        _log.info(f"{written} images written in {seconds:.1f} s ({written / seconds:.0f} images/s).")
    remarks = sum((Counter(record["remarks"]) for record in records.values()), Counter())
    skipped = [*listing.skipped, *(tuple(entry) for record in records.values() for entry in record["skipped"])]
    record = tfrecord.write_sidecar(
        state.out,
        name=listing.name,
        class_names=listing.class_names,
        label_offset=_LABEL_OFFSET,
        summaries=summaries,
        ignored=listing.ignored,
        task=listing.task,
        **({"metrics": listing.metrics} if listing.metrics else {}),
        labelled=listing.labelled,
        carved=listing.hash_split,
        remarks=dict(sorted(remarks.items())),
        mislabelled=[list(entry) for entry in listing.mislabelled],
        skipped=sorted(skipped),
        **digests,
    )
    for split, counts in record.get("objects", {}).items():
        _log.info(f"{split}: {', '.join(f'{count} {name}' for name, count in counts.items())}.")
    state.done()
    return record


class _Unusable(Exception):
    """The images, not the writing, are at fault: starting again would not help."""


def _examples(read: Callable, listing, shard: Shard, pool, workers: int, total: int, damaged: int, bar) -> Iterator:
    """Examples of the shard's images in order, and (name, reason) for those that cannot be used."""
    for result in _read_ahead(pool, read, zip(shard.images, shard.sizes, strict=True), workers * _AHEAD):
        bar.update()
        if not isinstance(result, tfrecord.Example):
            damaged += 1
            if 2 * damaged > total:
                raise _Unusable(
                    f"More than half of the {total} images in {listing.root} cannot be used, the last {result[0]}: "
                    f"{result[1]}. Was the copy complete?"
                )
        yield result


def _read(listing: ImageListing, measured: tuple[ListedImage, int], max_pixels: int):
    """An example, or (name, reason). Raises DataError where it is not the image that is at fault."""
    image, size = measured
    try:
        return image_files.read_listed(listing, image, max_pixels=max_pixels)
    except DataError as error:
        if size >= 0 and isinstance(error.__cause__, FileNotFoundError):
            raise _reading_failed(listing, image, "it was there when the files were listed, and is gone") from error
        return path_text(image.name), str(error)
    except (OSError, MemoryError) as error:
        why = "not enough memory" if isinstance(error, MemoryError) else error.strerror
        raise _reading_failed(listing, image, why) from error


def _reading_failed(listing: ImageListing, image: ListedImage, why: str) -> DataError:
    source = image.member.archive if image.member else listing.root / image.name
    return DataError(
        f"Reading {path_text(source)} failed: {why}. The source has changed, or its disk or network has failed or is "
        "no longer mounted. Fix that and start the same command again: finished shards are kept."
    )


def _read_ahead(pool, read: Callable, items: Iterable, ahead: int) -> Iterator:
    """`map(read, items)` in threads, with at most `ahead` results waiting: memory stays the same for any number."""
    items = iter(items)
    waiting = deque(pool.submit(read, item) for item in itertools.islice(items, ahead))
    while waiting:
        yield waiting.popleft().result()
        waiting.extend(pool.submit(read, item) for item in itertools.islice(items, 1))


def _write_shard(results: Iterator, state: PrepareState, shard: Shard, synsets: tuple[str, ...]) -> dict:
    import tensorflow as tf

    path = state.out / shard.name
    summing = tfrecord.SummaryBuilder([path])
    skipped, remarks = [], Counter()
    with files.atomic_write(path) as partial, tf.io.TFRecordWriter(str(partial)) as writer:
        for result in results:
            if not isinstance(result, tfrecord.Example):
                skipped.append(result)
                continue
            label = result.label + _LABEL_OFFSET
            writer.write(tfrecord.serialize(result, label, synsets[result.label]))
            summing.add(0, label, result.class_name, result.encoded, result.objects, result.tally)
            if result.remark:
                remarks[result.remark] += 1
    record = {
        "bytes": path.stat().st_size,
        "digest": summing.digests[0].hexdigest(),
        "label_counts": {str(label): count for label, count in sorted(summing.counts.items())},
        "remarks": dict(remarks),
        "skipped": skipped,
        **({"box_counts": dict(summing.boxes), "tally": dict(summing.tally)} if summing.tally else {}),
    }
    state.finish(shard.name, record)
    return record


def _summaries(listing: ImageListing, shards: list[Shard], records: dict[str, dict]) -> dict:
    """A summary of each split. Raises _Unusable where a class has lost its training images, or validation all."""
    summaries = {}
    for split in listing.splits:
        own = {shard.name: records[shard.name] for shard in shards if shard.split == split}
        counts, boxes, tally = Counter(), Counter(), Counter()
        for record in own.values():
            counts.update({int(label): count for label, count in record["label_counts"].items()})
            boxes.update({int(label): count for label, count in record.get("box_counts", {}).items()})
            tally.update(record.get("tally", {}))
        sizes = {name: record["bytes"] for name, record in own.items()}
        digest = files.sha256_of([record["digest"] for record in own.values()])
        summaries[split] = tfrecord.SplitSummary(dict(counts), {}, sizes, digest, boxes, tally)
        listed = {(image.label or 0) for image in listing.splits[split]} if split == "train" else set()
        lost = [listing.class_names[label] for label in sorted(listed) if not counts[label + _LABEL_OFFSET]]
        if lost or not counts.total():
            reasons = [entry for record in own.values() for entry in record["skipped"]]
            shown = "".join(f"\n  {name}: {reason}" for name, reason in reasons[:5])
            of = f" of {', '.join(lost)}" if lost else ""
            raise _Unusable(
                f"{listing.root}: {split} has no sound image{of}. Add some or remove the class. Damaged:{shown}"
            )
        if listing.task == "detection" and split == "train" and not boxes:
            raise _Unusable(f"{listing.root}: no training image has a box, so nothing could be learned. {dict(tally)}")
    return summaries
