import { Button, Menu } from '@mantine/core';
import {
  type Icon,
  IconBadgeCc,
  IconBraces,
  IconDownload,
  IconFileText,
  IconFileTypePdf,
  IconTable,
} from '@tabler/icons-react';
import { api } from '../api/client';
import { EXPORT_FORMATS, type ExportFormat } from '../api/types';

const FORMATS: Record<ExportFormat, { icon: Icon; word: string }> = {
  txt: { icon: IconFileText, word: 'Plain text' },
  pdf: { icon: IconFileTypePdf, word: 'Pages (PDF)' },
  srt: { icon: IconBadgeCc, word: 'Subtitles (SRT)' },
  vtt: { icon: IconBadgeCc, word: 'Subtitles (WebVTT)' },
  csv: { icon: IconTable, word: 'Table (CSV)' },
  json: { icon: IconBraces, word: 'Everything (JSON)' },
};

export function ExportMenu({ callId }: { callId: string }) {
  return (
    <Menu width={200}>
      <Menu.Target>
        <Button variant="default" size="xs" leftSection={<IconDownload size={15} stroke={1.8} />}>
          Export
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {EXPORT_FORMATS.map((format) => {
          const { icon: Icon, word } = FORMATS[format];
          return (
            <Menu.Item
              key={format}
              component="a"
              href={api.exportUrl(callId, format)}
              download
              leftSection={<Icon size={16} stroke={1.7} />}
            >
              {word}
            </Menu.Item>
          );
        })}
      </Menu.Dropdown>
    </Menu>
  );
}
