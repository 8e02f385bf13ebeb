#!/bin/sh
# Our namespace and its search attributes, as far as they are missing.
set -eu
until temporal operator cluster health >/dev/null 2>&1; do sleep 1; done
temporal operator namespace describe --namespace "$TEMPORAL_NAMESPACE" >/dev/null 2>&1 ||
  temporal operator namespace create --namespace "$TEMPORAL_NAMESPACE" --retention 30d
for name in JobKind JobStatus JobStep JobReason TenantId SubjectId; do
  until temporal operator search-attribute list | grep -qw "$name"; do
    temporal operator search-attribute create --name "$name" --type Keyword || sleep 1
  done
done
