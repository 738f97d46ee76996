"""What a reviewer reads first on the page of a run."""

from typing import Any

__all__ = ["describe_run"]


def describe_run(client: Any, key_tag: str, start: dict[str, Any]) -> str:
    """Give the description of a run in Markdown: what it is, which data, which code, and the runs of its weights.

    Args:
        client: Client of the store, in which the runs of the weights are looked up; they may be elsewhere.
        key_tag: Tag that holds the key of a run.
        start: First entry of the journal.
    """
    tags = start["tags"]
    lines = [start["about"], ""]
    for dataset in start["datasets"]:
        counts = ", ".join(f"{name}: {value}" for name, value in dataset["counts"].items())
        lines.append(f"- {dataset['context']}: {counts}; digest `{dataset['digest'][:12]}`")
    for role, facts in start["weights"].items():
        origin = _origin(client, key_tag, facts)
        lines.append(f"- weights of the {role}: `{facts['sha256'][:12]}`, {origin}")
    dirty = ", with changes that are not committed" if tags.get("code.dirty") == "true" else ""
    lines.append(f"- code: `{tags.get('code.commit', 'unknown')[:12]}`{dirty}")
    return "\n".join(lines)


def _origin(client: Any, key_tag: str, facts: dict[str, str]) -> str:
    key = facts.get("run")
    if key is None:
        return f"of unknown origin (record: {facts.get('record', 'incomplete')})"
    about = f"cohort `{facts['cohort_digest'][:12]}`, code `{facts['code_commit'][:12]}`"
    experiments = [found.experiment_id for found in client.search_experiments()]
    runs = client.search_runs(experiments, f"tags.`{key_tag}` = '{key}'", max_results=1)
    if not runs:
        return f"made by run `{key[:12]}`, which is not in this store; {about}"
    info = runs[0].info
    return f"made by run [{info.run_name}](#/experiments/{info.experiment_id}/runs/{info.run_id}); {about}"
