"""`python -m benchmarks.transcription`: transcribes the whole manifest; times are not checked."""

from benchmarks.transcription import app


def test_a_manifest_is_transcribed_some_times(run_program, tone_run, tones):
    name = "python -m benchmarks.transcription"
    result = run_program(app, name, tone_run, tones / "test.jsonl", "--rounds", 2, "--threads", 1)
    assert result.status == 0, result.err
    count = len((tones / "test.jsonl").read_text().splitlines())
    assert result.out.startswith(f"{count} utterances")


def test_a_missing_model_is_one_line_on_standard_error(run_program, tones):
    result = run_program(app, "transcription", "no/model", tones / "test.jsonl")
    assert (result.status, len(result.err.strip().splitlines())) == (2, 1)
    assert "no/model" in result.err
