{{- /* ServiceMonitor or PodMonitor of a component: they differ in two words. */ -}}
{{- define "tutti.monitor" -}}
{{- $root := index . 0 }}{{- $component := index . 1 }}{{- $monitoring := $root.Values.monitoring }}
{{- if and $monitoring.serviceMonitor $monitoring.podMonitor }}
{{- fail "monitoring: serviceMonitor and podMonitor are both on, and every sample would be taken twice; choose one" }}
{{- end }}
{{- if or $monitoring.serviceMonitor $monitoring.podMonitor }}
{{- if and $root.Values.networkPolicy.enabled (not $root.Values.networkPolicy.metricsFrom) }}
{{- fail "monitoring is on, but networkPolicy.metricsFrom lets nobody read metrics: name where Prometheus runs" }}
{{- end }}
apiVersion: monitoring.coreos.com/v1
kind: {{ ternary "ServiceMonitor" "PodMonitor" $monitoring.serviceMonitor }}
metadata:
  name: {{ $component }}
  namespace: {{ $root.Release.Namespace }}
  labels:
    {{- include "tutti.labels" . | nindent 4 }}
    {{- with $monitoring.labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  selector:
    matchLabels:
      {{- include "tutti.selector" . | nindent 6 }}
  {{ ternary "endpoints" "podMetricsEndpoints" $monitoring.serviceMonitor }}:
    - port: admin
      path: /metrics
      interval: {{ $monitoring.interval }}
{{- end }}
{{- end }}
