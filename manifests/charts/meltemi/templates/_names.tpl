{{- /* The name of everything that belongs to this revision. */ -}}
{{- define "meltemi.name" -}}
{{- if eq .Values.revision "default" }}meltemi{{ else }}meltemi-{{ .Values.revision }}{{ end }}
{{- end }}

{{- /* What Services and Deployments select their pods by; never to be changed. */ -}}
{{- define "meltemi.selector" -}}
app: meltemi
istio.io/rev: {{ .Values.revision | quote }}
{{- end }}

{{- define "meltemi.labels" -}}
{{ include "meltemi.selector" . }}
app.kubernetes.io/name: meltemi
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/part-of: meltemi
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- /* repository:tag of .image. */ -}}
{{- define "meltemi.image" -}}
{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}
{{- end }}

{{- /* Where sidecars find the control plane. */ -}}
{{- define "meltemi.host" -}}
{{ include "meltemi.name" . }}.{{ .Release.Namespace }}.svc
{{- end }}

{{- /* What Pod Security's "restricted" asks of a pod, and of each container. */ -}}
{{- define "meltemi.podSecurity" -}}
runAsNonRoot: true
runAsUser: 1337
runAsGroup: 1337
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "meltemi.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}
