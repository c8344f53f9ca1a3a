{{- /* The studio's files, laid out in its folder before anything starts. */ -}}
{{- define "steelyard.lay" -}}
- name: lay-studio
  image: {{ .Values.image }}
  command:
    - sh
    - -c
    - |
      cp /given/steelyard.toml /studio/
      for folder in contracts prices shares holidays; do
        mkdir -p /studio/$folder
        for file in /given/$folder.*.toml; do
          [ -e "$file" ] || continue
          name=${file##*/}
          cp "$file" "/studio/$folder/${name#$folder.}"
        done
      done
  volumeMounts:
    - {name: given, mountPath: /given, readOnly: true}
    - {name: studio, mountPath: /studio}
{{- end -}}
