{{- /* What the pods of our own services have in common. */ -}}

{{- /* Of the pod: whose rights it has and where it runs. */}}
{{- define "tutti.pod" -}}
{{- $root := index . 0 }}{{- $component := index . 1 }}{{- $values := index $root.Values $component -}}
serviceAccountName: {{ $component }}
automountServiceAccountToken: true
{{- with $root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- with $root.Values.priorityClass.name }}
priorityClassName: {{ . }}
{{- end }}
# Nobody reads the variables that Kubernetes makes of each Service; they only slow the start.
enableServiceLinks: false
securityContext:
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: { type: RuntimeDefault }
{{- with $values.topologySpread }}
topologySpreadConstraints:
  {{- range . }}
  - topologyKey: {{ . }}
    maxSkew: 1
    # A cluster of one node is a cluster too.
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels:
        {{- include "tutti.selector" (list $root $component) | nindent 8 }}
    # Pods of the old version do not count: otherwise an update ends with a skew.
    matchLabelKeys: [pod-template-hash]
  {{- end }}
{{- end }}
{{- with $values.nodeSelector }}
nodeSelector: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.tolerations }}
tolerations: {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $values.affinity }}
affinity: {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Of the container: image, rights, probes on the port `admin`, resources. */}}
{{- define "tutti.container" -}}
{{- $root := index . 0 }}{{- $component := index . 1 }}{{- $values := index $root.Values $component -}}
name: {{ $component }}
image: {{ include "tutti.image" . | quote }}
imagePullPolicy: {{ $root.Values.image.pullPolicy }}
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: {{ $values.readOnlyRootFilesystem }}
  capabilities: { drop: [ALL] }
startupProbe:
  httpGet: { path: /healthz, port: admin }
  periodSeconds: 1
  failureThreshold: 60
livenessProbe:
  httpGet: { path: /healthz, port: admin }
  periodSeconds: 10
  # A busy node is no reason for a restart, which would only make it busier.
  timeoutSeconds: 5
readinessProbe:
  httpGet: { path: /readyz, port: admin }
  periodSeconds: 2
  timeoutSeconds: 2
resources: {{- toYaml $values.resources | nindent 2 }}
{{- end }}

{{- /* Of the environment: what all read. */}}
{{- define "tutti.env" -}}
{{- $root := index . 0 }}{{- $values := index $root.Values (index . 1) }}{{- $platform := $root.Values.platform -}}
- { name: TUTTI_PLATFORM_ZONE, value: {{ include "tutti.zone" $root | quote }} }
- { name: TUTTI_PUBLIC_HTTPS_PORT, value: {{ $platform.publicHttpsPort | quote }} }
- { name: TUTTI_PUBLIC_HTTP_PORT, value: {{ $platform.publicHttpPort | quote }} }
- { name: TUTTI_LOG_FORMAT, value: {{ $root.Values.log.format | quote }} }
- { name: TUTTI_LOG_FILTER, value: {{ $root.Values.log.filter | quote }} }
- name: POD_NAME
  valueFrom: { fieldRef: { fieldPath: metadata.name } }
- name: POD_NAMESPACE
  valueFrom: { fieldRef: { fieldPath: metadata.namespace } }
{{- with $values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}
