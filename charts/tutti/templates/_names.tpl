{{- /*
Names and labels. Objects are called `operator` and `gateway` (in the cluster's scope with `tutti-`
before it), whatever the release is called: there is one Tutti in a cluster, and a second release
is refused by Helm instead of fighting with the first.

Most helpers take a list: the chart's context and the component, `operator` or `gateway`.
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

{{- /* The zone; the chart is of no use without it. */}}
{{- define "tutti.zone" -}}
{{- required "platform.zone is empty: give the DNS zone of the apps' addresses, such as --set platform.zone=apps.example.com" .Values.platform.zone }}
{{- end }}
