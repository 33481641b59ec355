{{- /*
Names and labels. Objects are called like their component (in the cluster's scope with `tutti-`
before it), whatever the release is called: there is one Tutti in a cluster, and a second release
is refused by Helm instead of fighting with the first.

Most helpers take a list: the chart's context and the component, such as `operator`.
*/ -}}

{{- define "tutti.selector" -}}
{{- $root := index . 0 }}{{- $component := index . 1 -}}
app.kubernetes.io/name: {{ $component }}
app.kubernetes.io/instance: {{ $root.Release.Name }}
{{- end }}

{{- define "tutti.labels" -}}
{{- $root := index . 0 -}}
{{ include "tutti.selector" . }}
app.kubernetes.io/version: {{ $root.Chart.AppVersion | quote }}
app.kubernetes.io/part-of: tutti
app.kubernetes.io/managed-by: {{ $root.Release.Service }}
helm.sh/chart: {{ $root.Chart.Name }}-{{ $root.Chart.Version }}
{{- end }}

{{- define "tutti.image" -}}
{{- $root := index . 0 }}{{- $image := (index $root.Values (index . 1)).image -}}
{{- with $root.Values.image.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ $image.tag | default $root.Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* The image of the platform's database is that of the apps' databases; where that names no registry, theirs. */}}
{{- define "tutti.postgresql.image" -}}
{{- $repository := .Values.platform.databaseImages.postgresql -}}
{{- $registry := .Values.platform.imageRegistry -}}
{{- if and $registry (not (regexMatch "^(localhost|[^/]*[.:][^/]*)/" $repository)) }}{{ trimSuffix "/" $registry }}/{{ end }}{{ $repository }}
{{- with .Values.postgresql }}:{{ .version }}{{ with .digest }}@{{ . }}{{ end }}{{ end }}
{{- end }}

{{- /* Where browsers find idm. */}}
{{- define "tutti.idm.hostname" -}}
{{- .Values.idm.hostname | default (printf "id.%s" (include "tutti.zone" .)) }}
{{- end }}

{{- define "tutti.idm.url" -}}
{{- $port := int .Values.platform.publicHttpsPort -}}
https://{{ include "tutti.idm.hostname" . }}{{ if ne $port 443 }}:{{ $port }}{{ end }}
{{- end }}

{{- /* The ServiceAccounts that may ask idm. */}}
{{- define "tutti.idm.services" -}}
{{- $all := list (printf "%s:gateway" .Release.Namespace) -}}
{{- range .Values.idm.services }}{{ $all = append $all (printf "%s:%s" .namespace .name) }}{{ end -}}
{{ join "," $all }}
{{- end }}

{{- /* The Secret with the address of idm's database, and with the words that it is entered with. */}}
{{- define "tutti.idm.database" -}}
{{- if .Values.postgresql.enabled }}idm-database{{ else }}
{{- required "idm.databaseSecret is empty: postgresql.enabled is false, so name a Secret whose key `url` is postgres://user:password@host:5432/idm" .Values.idm.databaseSecret }}
{{- end }}
{{- end }}

{{- /* The Secrets of our own services, as the operator makes them. */}}
{{- define "tutti.secrets" -}}
{{- if .Values.idm.enabled -}}
- name: idm-bootstrap
  generated: { code: 20 }
- name: idm-encryption
  generated: { key: 64 }
{{- if .Values.postgresql.enabled }}
- name: idm-database
  generated: { password: 32 }
  composed: { url: "postgres://idm:{password}@postgresql.{{ .Release.Namespace }}:5432/idm" }
{{- end }}
{{- else }}[]{{ end }}
{{- end }}

{{- /* The zone; the chart is of no use without it. */}}
{{- define "tutti.zone" -}}
{{- required "platform.zone is empty: give the DNS zone of the apps' addresses, such as --set platform.zone=apps.example.com" .Values.platform.zone }}
{{- end }}
