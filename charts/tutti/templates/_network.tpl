{{- /* Rules of the NetworkPolicies that our own services share. */ -}}

{{- define "tutti.network.metrics" -}}
{{- with .Values.networkPolicy.metricsFrom }}
- from: {{- toYaml . | nindent 4 }}
  ports:
    - { port: admin, protocol: TCP }
{{- end }}
{{- end }}

{{- define "tutti.network.platform" -}}
# DNS. By label of the namespace alone: what answers there is called differently in every cluster.
- to:
    - namespaceSelector:
        matchLabels: { kubernetes.io/metadata.name: kube-system }
    # Where NodeLocal DNSCache listens, on the node itself.
    - ipBlock: { cidr: 169.254.20.10/32 }
  ports:
    - { port: 53, protocol: UDP }
    - { port: 53, protocol: TCP }
    # Policies see the pod's port: where DNS servers run without privileges it is not 53, but it has
    # these names in every distribution.
    - { port: dns, protocol: UDP }
    - { port: dns-tcp, protocol: TCP }
# The API server.
- to:
    {{- range .Values.networkPolicy.apiServer.cidrs }}
    - ipBlock: { cidr: {{ . | quote }} }
    {{- end }}
  ports:
    {{- range .Values.networkPolicy.apiServer.ports }}
    - { port: {{ . }}, protocol: TCP }
    {{- end }}
{{- end }}
